#include "kernels/ops.h"

namespace gptmoe {

Ops Ops::observed_by(OpObserver& observer) const {
  Ops observed(kernels_);
  observed.observer_ = &observer;
  return observed;
}

std::unique_ptr<RepeatedWork> Ops::make_repeated_work() {
  return observer_ ? std::make_unique<RepeatedWork>() : kernels_->make_repeated_work();
}

}  // namespace gptmoe
