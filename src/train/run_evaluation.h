#pragma once
#include <optional>
#include <vector>

#include "engine/train_step.h"
#include "inference/evaluate.h"
#include "train/metrics.h"
#include "train/step_log.h"
#include "train/task_scorer.h"

namespace gptmoe {

// Evaluates the weights of a run in training, on every rank together. Each call first gathers the weights; this traffic
// does not count as training's.
class RunEvaluation {
 public:
  // Parts of the run. They outlive the evaluation.
  struct Run {
    const TrainConfig& train;
    Engine& engine;
    Ops& ops;
    Communicator& communicator;
    World& world;
    TrainStep& step;
    StepLog& log;
    MetricsFile* metrics;  // null except on rank 0
  };
  RunEvaluation(const Run& run, const std::vector<NamedText>& val_data, const TaskScorer& tasks)
      : run_(run), val_data_(val_data), tasks_(tasks) {}

  // Evaluates the validation data, also with the moving average of the weights if there is one; writes a row and prints
  // the result. Returns the loss of the weights themselves. `progress` is the run's state.
  double validate(const Progress& progress);
  // Scores the tasks, writes a row and prints the scores.
  void score_tasks(const Progress& progress);
  // Returns the loss of one micro-batch on each rank.
  double one_batch(const TokenLoader& text);

  // The result of the last validate().
  const std::optional<EvalResult>& last() const { return last_; }

 private:
  EvalResult evaluated() const;

  const Run run_;
  const std::vector<NamedText>& val_data_;
  const TaskScorer& tasks_;
  std::optional<EvalResult> last_;
};

}  // namespace gptmoe
