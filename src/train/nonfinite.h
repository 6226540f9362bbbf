#pragma once
#include "train/instance.h"

namespace gptmoe {

// Both throw Failure naming the step (as metrics count it: the step being computed), the micro-batch and the first
// offending tensor, when what the name says is infinite or not a number.
void require_finite_loss(Instance& instance, Ops& ops, int64_t step, int64_t micro_batch);
void require_finite_gradients(Instance& instance, Ops& ops, int64_t step, int64_t micro_batch);

}  // namespace gptmoe
