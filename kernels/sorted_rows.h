#pragma once
#include "base/tensor.h"

namespace gptmoe {

// K of a grouped op (ops_moe.h) over R sorted rows that reads x, perhaps through slots; 1 without slots. Checks that
// x, of any width, and slots fit R.
inline int64_t rows_per_token(const Tensor& x, const Tensor& slots_R, int64_t R) {
  const int64_t N = x.size(0);
  const bool fit = slots_R.present() ? N >= 1 && R >= N && R % N == 0 && slots_R.has_sizes({R}) : N == R;
  GPTMOE_CHECK(x.rank() == 2 && fit, R, " rows from ", x.describe(), " through ", slots_R.describe());
  return slots_R.present() ? R / N : 1;
}

}  // namespace gptmoe
