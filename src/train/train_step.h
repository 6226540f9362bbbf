#pragma once
#include <functional>

#include "train/instance.h"

namespace gptmoe {

// What one optimizer step reports.
struct StepResult {
  double loss = 0;       // mean cross-entropy per token, nats, without auxiliary terms
  double grad_norm = 0;  // global, before clipping
  // Of MoE models, means over the step's micro-batches and layers; absent (has_router false) for dense ones.
  bool has_router = false;
  double load_balance_loss = 0;  // 1 = perfectly balanced
  double expert_load_max = 0,
         expert_load_min = 0;  // share of assignments of the most and least loaded expert of any layer
};

// inputs_BT =, targets_BT = (i32): the next micro-batch.
using NextBatch = std::function<void(const Tensor& inputs_BT, const Tensor& targets_BT)>;

// One optimizer step: global_batch_size sequences in micro-batches, then the update. `step` counts from 0.
// Throws Failure when the loss or a gradient is not finite, before any parameter changes, naming the step, the
// micro-batch where one is to blame, and the first offending tensor.
StepResult train_step(const Config& config, Instance& instance, Ops& ops, Communicator& communicator,
                      const NextBatch& next_batch, int64_t step);

}  // namespace gptmoe
