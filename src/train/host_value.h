#pragma once
#include "base/tensor.h"

namespace gptmoe {

// Element i of a small statistics tensor (f32 or f64) as the host sees it.
inline double host_value(const Tensor& x, int64_t i) {
  GPTMOE_CHECK(i >= 0 && i < x.count(), x.describe());
  return x.dtype() == DType::f64 ? x.as<double>()[i] : static_cast<double>(x.as<float>()[i]);
}

}  // namespace gptmoe
