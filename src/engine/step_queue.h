#pragma once
#include <array>
#include <memory>

#include "engine/spike_window.h"
#include "engine/step_result.h"
#include "engine/train_step.h"

namespace gptmoe {

// Runs optimizer steps in order, as training does. ask() queues a step on the device as RepeatedWork, which a GPU
// records and then replays; report() waits for the step and reads its result. The host may queue kAhead steps before it
// reads a report, so the device never waits for the host. With train.skip_spikes, the device does wait: the host reads
// the measured loss and gradient norm of each step before it queues the update.
class StepQueue {
 public:
  static constexpr int64_t kAhead = 1;

  // Takes the arguments of TrainStep. `engine` is committed.
  StepQueue(const Config& config, Engine& engine, Ops& ops, Communicator& communicator);

  void ask(const NextBatch& next_batch, int64_t step);
  // The result of the oldest step not yet reported.
  StepResult report();

  TrainStep& train_step() { return train_step_; }
  // The window includes every step for which ask() was called. Null without train.skip_spikes.
  SpikeWindow* spikes() { return spikes_ ? &*spikes_ : nullptr; }

 private:
  bool is_spike(size_t slot);

  const Config& config_;
  const int64_t micro_batches_;  // of a step, over all ranks
  TrainStep train_step_;
  // The work of each kind of StepPart, by its name and then by 2 * gathers + reduces.
  std::array<std::array<std::unique_ptr<RepeatedWork>, 4>, 5> parts_;
  std::array<std::unique_ptr<Snapshot>, kAhead + 1> sums_;
  std::array<bool, kAhead + 1> skipped_ = {};
  std::optional<SpikeWindow> spikes_;
  std::vector<DefaultNorms> default_norms_;  // one for each of sums_
  int64_t asked_ = 0, reported_ = 0;
};

}  // namespace gptmoe
