#pragma once
#include <array>
#include <memory>

#include "engine/step_result.h"
#include "engine/train_step.h"

namespace gptmoe {

// Optimizer steps one after the other, as training runs them. ask() gives the device a step's work, recorded the first
// time and replayed after that; report() waits for the step and reads its result. The host may ask for kAhead steps
// before it reads a report, so the device never waits for the host.
class StepQueue {
 public:
  static constexpr int64_t kAhead = 1;

  // As TrainStep. `engine` is committed.
  StepQueue(const Config& config, Engine& engine, Ops& ops, Communicator& communicator);

  void ask(const NextBatch& next_batch, int64_t step);
  // The result of the oldest step not yet reported.
  StepResult report();

  TrainStep& train_step() { return train_step_; }

 private:
  const Config& config_;
  Engine& engine_;
  Ops& ops_;
  int64_t micro_batches_;  // of all ranks
  TrainStep train_step_;
  // By name, then by collectives.
  std::array<std::array<std::unique_ptr<RepeatedWork>, 4>, 4> parts_;
  std::array<std::unique_ptr<Snapshot>, kAhead + 1> sums_;
  int64_t asked_ = 0, reported_ = 0;
};

}  // namespace gptmoe
