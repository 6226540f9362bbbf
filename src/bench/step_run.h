#pragma once
// Trains a variant's model on random tokens.
#include <optional>

#include "bench/measure.h"
#include "bench/op_timer.h"
#include "bench/variants.h"
#include "engine/step_queue.h"

namespace gptmoe {

// The times of the steps of one round that are run op by op; means over these steps.
struct StepAccount {
  OpTotals ops;
  double ops_seconds = 0, step_seconds = 0;  // of all ops of a step together, and of the whole step
};

class StepRun {
 public:
  // Throws UserError if there is not enough memory.
  explicit StepRun(const Variant& variant);

  // Takes `steps` steps as a training run does, and returns the mean seconds per step.
  double train(int64_t steps) { return train(*steps_, *ops_, steps); }
  // time_round() measures the ceilings right before the steps, so that both are measured under the same conditions.
  void time_round(int64_t steps);
  void account_round(int64_t steps);

  const Variant& variant() const { return variant_; }
  Ops& ops() const { return *ops_; }
  const Engine& engine() const { return engine_; }
  const std::vector<double>& seconds() const { return seconds_; }  // per step, by round
  const std::vector<StepAccount>& accounts() const { return accounts_; }
  // Medians over the rounds.
  Ceilings ceilings() const { return median(ceilings_); }
  double median_seconds() const { return median(seconds_); }
  double flops_per_token() const { return engine_.forward_flops_per_token() + engine_.backward_flops_per_token(); }

 private:
  double train(StepQueue& queue, Ops& ops, int64_t steps);

  const Variant& variant_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Communicator> communicator_;
  Engine engine_;
  OpTimer timer_;
  Ops timed_ops_;
  std::optional<StepQueue> steps_, timed_steps_;
  uint64_t stream_ = 0;
  int64_t step_ = 0;
  std::vector<double> seconds_;
  std::vector<Ceilings> ceilings_;
  std::vector<StepAccount> accounts_;
};

}  // namespace gptmoe
