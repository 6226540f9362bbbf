#include "train/divergence.h"

#include <cmath>

#include "base/check.h"
#include "distributed/agree.h"
#include "engine/explain_step.h"

namespace gptmoe {

void Divergence::check(const std::function<void()>& check) {
  try {
    check();
  } catch (const NumericFailure&) {
    if (metrics_) metrics_->diverged(progress_);
    throw;
  }
}

void Divergence::require_finite(Ops& ops, const CheckpointTensors& tensors) {
  const std::string row = first_nonfinite_row(ops, tensors);
  check([&] {
    agree(world_, [&] {
      if (!row.empty())
        throw NumericFailure(text("tensor \"", row, "\" is not finite after step ", progress_.step,
                                  ", which is not saved; ", kDivergenceRemedy));
    });
  });
}

void Divergence::require_finite_loss(const char* which, double loss) {
  check([&] {
    agree(world_, [&] {
      if (!std::isfinite(loss))
        throw NumericFailure(
            text("the ", which, " loss is not finite after step ", progress_.step, "; ", kDivergenceRemedy));
    });
  });
}

}  // namespace gptmoe
