#pragma once
// One optimizer step of one rank, in parts. Training lets a device record the parts and replay them (StepQueue),
// explain_step() checks the results between them, and plan and predict_step() run them on ops that compute nothing.
#include <functional>

#include "engine/engine.h"

namespace gptmoe {

// Writes the next micro-batch to inputs_BT and targets_BT (i32, on the host).
using NextBatch = std::function<void(const Tensor& inputs_BT, const Tensor& targets_BT)>;

// A part of a step. Its work is the same in every step, so a device can record it once and replay it.
struct StepPart {
  enum Name { begin, micro_batch, measure, update, skip } name;
  // For micro-batches: the first of a step gathers the weights that other ranks have updated, and the last one reduces
  // gradients over ranks. If gradients are sharded, every micro-batch reduces them.
  bool gathers = false, reduces = false;
};

// Runs a part of a step: calls `work`, or replays what was recorded when an earlier call ran the same part.
using CarryOut = std::function<void(const StepPart& part, const std::function<void()>& work)>;

class TrainStep {
 public:
  // `config` comes from config_for_rank(): a rank takes micro_batch_size sequences at a time, and all ranks together
  // take global_batch_size. All four arguments must outlive the object.
  TrainStep(const Config& config, Engine& engine, Ops& ops, Communicator& communicator);

  // The whole step: global_batch_size sequences in micro-batches, then the update. `step` counts from 0. `engine` is
  // committed. A loss or gradient that is not finite leaves every parameter as it is. `skips` is called after
  // measure(), when engine.sums() is complete; if it returns true, skip() takes the place of update(). Without `skips`,
  // no step is skipped.
  void run(const NextBatch& next_batch, int64_t step, const CarryOut& carry_out,
           const std::function<bool()>& skips = {});

  // The parts, in this order; `micro_batch` runs once for each micro-batch of this rank.
  void begin();                            // gradients = 0, engine.sums() = 0; keeps the routers' state for skip()
  void micro_batch(const StepPart& part);  // forward and backward: gradients +=, engine.sums() +=
  void measure();                          // sums over ranks, and the gradients' norm
  void update();                           // the optimizer, the weights' average, then what routers do once per step
  void skip();                             // instead of update(): the routers' state as it was at begin()

  StepPart micro_batch_part(bool first, bool last) const;  // the first or last of a step

  Engine& engine() { return engine_; }
  Ops& ops() { return ops_; }
  // Gathers on every rank the weights that the last step updated. Call it before reading weights outside a step.
  void gather_weights();
  // Exchanges the weights and their moving average on every rank, to evaluate the average; a second call undoes it.
  // Call it between steps. Does nothing without train.weight_ema.
  void exchange_average();

 private:
  const Config& config_;
  Engine& engine_;
  Ops& ops_;
  Communicator& communicator_;
  int64_t micro_batches_;
  Pass pass_;
};

}  // namespace gptmoe
