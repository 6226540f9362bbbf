#pragma once
#include "base/tensor.h"

namespace gptmoe {

// K of a grouped op (moe_ops.inc) over R sorted rows: R / N if it reads x through slots, 1 without slots.
inline int64_t rows_per_token(const Tensor& x, const Tensor& slots_R, int64_t R) {
  return slots_R.present() ? R / x.size(0) : 1;
}

}  // namespace gptmoe
