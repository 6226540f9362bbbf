#pragma once
#include "engine/engine.h"

namespace gptmoe {

// Both throw NumericFailure naming the step (as metrics count it: the step being computed) and the first offending
// tensor in the order of the computation.

// After a micro-batch's backward: its loss, and the gradient that came down the whole residual stream. Names the
// micro-batch.
void require_finite_micro_batch(Engine& engine, Ops& ops, int64_t step, int64_t micro_batch);
// After AdamW::measure_norm(): the gradients of the whole step.
void require_finite_gradients(Engine& engine, Ops& ops, int64_t step);

}  // namespace gptmoe
