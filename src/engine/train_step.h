#pragma once
#include <array>
#include <functional>
#include <memory>

#include "distributed/world.h"
#include "engine/engine.h"

namespace gptmoe {

// What one optimizer step reports.
struct StepResult {
  double loss = 0;       // mean cross-entropy per token, nats, without auxiliary terms
  double grad_norm = 0;  // global, before clipping
  // Of MoE models, means over the step's micro-batches; absent (load_balance_loss empty) for dense ones.
  std::vector<double> load_balance_loss;  // per MoE layer; 1 = perfectly balanced
  double expert_load_max = 0,
         expert_load_min = 0;  // share of assignments of the most and least loaded expert of any layer

  // Whether the step moved the parameters. One that did not stops all later ones from it too.
  bool finite() const;
};

// inputs_BT =, targets_BT = (i32): the next micro-batch.
using NextBatch = std::function<void(const Tensor& inputs_BT, const Tensor& targets_BT)>;

// Optimizer steps of one rank, one after the other. Asking for a step and reading what it reports are two things, so
// that a device need not wait for the host: nothing but the report travels back, and the host may be kAhead steps
// ahead.
class TrainStep {
 public:
  static constexpr int64_t kAhead = 1;

  // `config` is this rank's: micro_batch_size sequences at a time, of the global_batch_size that all ranks share.
  // `engine` is committed; all four must outlive the object.
  TrainStep(const Config& config, Engine& engine, Ops& ops, Communicator& communicator);

  // Asks for an optimizer step: global_batch_size sequences in micro-batches, then the update. `step` counts from 0. A
  // loss or gradient that is not finite leaves every parameter as it is.
  void run(const NextBatch& next_batch, int64_t step);
  // What the oldest step not yet reported found, once it is done.
  StepResult report();
  // Computes a step whose result was not finite again, on the same batches and parameters (and what the routers' state
  // is by now), looking at every micro-batch. Throws, the same on all ranks, NumericFailure naming the step, the
  // micro-batch where one is to blame, and the first offending tensor; or Failure where all is finite this time.
  // Collective.
  void explain(const NextBatch& same_batches, int64_t step, World& world);
  // Has every rank hold the weights that the last step left on one of them: before anything but run() reads them.
  void gather_weights();

 private:
  void start();
  void load(const NextBatch& next_batch);
  // The first of a step's micro-batches gathers weights, the last reduces gradients.
  struct Place {
    bool first, last;
  };
  Place place(int64_t m) const { return {m == 0, m + 1 == micro_batches_}; }
  RepeatedWork& recurring(Place place);
  void micro_batch(Place place);
  void measure();
  void update();

  const Config& config_;
  Engine& engine_;
  Ops& ops_;
  Communicator& communicator_;
  int64_t micro_batches_;  // of this rank
  Pass pass_;
  std::unique_ptr<RepeatedWork> start_, update_;
  std::array<std::unique_ptr<RepeatedWork>, 4> micro_batch_;  // by place
  std::array<std::unique_ptr<Snapshot>, kAhead + 1> sums_;
  int64_t asked_ = 0, reported_ = 0;
};

}  // namespace gptmoe
