#pragma once
// Scores of downstream tasks over the course of training (train.tasks).
#include <optional>
#include <string>
#include <vector>

#include "report/comparison.h"
#include "report/svg_chart.h"

namespace gptmoe {

// An arm's accuracy on a task after `tokens` training tokens, over the runs that were scored then.
struct TaskPoint {
  int64_t tokens = 0;
  double step = 0, seconds = 0;  // means over these runs
  Statistics acc;
};

struct TaskCurve {
  std::string name;
  std::optional<double> chance;                // absent for completions
  std::vector<std::vector<TaskPoint>> by_arm;  // by tokens; empty for an arm that lacks the task
};

// Every task that some run was scored on, by name.
std::vector<TaskCurve> task_curves(const Comparison& comparison);

// "0.312 ± 0.010", the arm's accuracy at its last point; empty if it has none.
std::string last_accuracy(const TaskCurve& curve, size_t arm);

// The arms' accuracies against tokens, with the band from the lowest to the highest seed. A line marks the accuracy of
// guessing.
Chart task_chart(const Comparison& comparison, const TaskCurve& task, const std::string& id);

}  // namespace gptmoe
