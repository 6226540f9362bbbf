#include "kernels/ops.h"

namespace gptmoe {

Ops Ops::observed_by(OpObserver& observer) const {
  Ops observed(kernels_);
  observed.observer_ = &observer;
  return observed;
}

std::unique_ptr<Recurring> Ops::make_recurring() {
  return observer_ ? std::make_unique<Recurring>() : kernels_->make_recurring();
}

}  // namespace gptmoe
