#pragma once
#include "distributed/world.h"
#include "engine/train_step.h"

namespace gptmoe {

inline constexpr const char* kDivergenceRemedy =
    "start again with a lower optimizer.learning_rate or a longer schedule.warmup_steps";

// Repeats a step whose result was not finite, on the same batches and parameters but with the routers' current state,
// and checks every micro-batch. Collective; throws the same error on all ranks. The error is a NumericFailure that
// gives the step's number as in the metrics, the micro-batch if one is to blame, and the first non-finite tensor in the
// order of the computation. If everything is finite this time, the error is a Failure.
[[noreturn]] void explain_step(TrainStep& train_step, const NextBatch& same_batches, int64_t step, World& world);

}  // namespace gptmoe
