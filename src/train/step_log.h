#pragma once
#include <optional>

#include "base/progress.h"
#include "distributed/communicator.h"
#include "engine/engine.h"
#include "train/metrics.h"

namespace gptmoe {

// Logs training: a row of metrics.jsonl and a line on the terminal (in a pipe, about a hundred lines per run), with
// rates since the previous row.
class StepLog {
 public:
  // Exists on every rank; `metrics` is null except on rank 0. Keeps references to all arguments.
  StepLog(const Config& config, const Engine& engine, const Communicator& communicator, double matrix_rate,
          MetricsFile* metrics, bool on_host);

  // Counts a step that took `seconds`.
  void count(double seconds);
  // Writes the row and the line of the last counted step. `progress` is the run's state after that step.
  void write(const Progress& progress, const StepResult& result);
  // Prints that this step's update was skipped.
  void skipped(int64_t step, const StepResult& result);
  // Runs `work`; its communication does not count as training's.
  template <typename Work>
  void without_cost(Work&& work) {
    const TrafficCosts before = communicator_.costs();
    work();
    const TrafficCosts after = communicator_.costs();
    for (size_t i = 0; i < after.size(); ++i) reported_costs_[i].seconds += after[i].seconds - before[i].seconds;
  }
  // Call before anything else is printed.
  void clear_line() { live_.clear(); }

 private:
  std::optional<Communication> communication();

  const Config& config_;
  const Engine& engine_;
  const Communicator& communicator_;
  const double matrix_rate_;
  MetricsFile* const metrics_;
  const bool on_host_;
  // Since the last row.
  int64_t tokens_ = 0, steps_ = 0;
  double seconds_ = 0;
  TrafficCosts reported_costs_;
  ProgressLine live_;
};

}  // namespace gptmoe
