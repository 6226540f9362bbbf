#pragma once
// The backends under test, made once per process.
#include "kernels/ops.h"

namespace gptmoe {

// The CPU backend in double.
Ops& double_ops(int threads);
// The CPU backend in float, as gptmoe runs it.
Ops& float_ops(int threads);
// The CPU backend in float, with operands of matrix products rounded to bf16.
Ops& bf16_product_ops(int threads);

}  // namespace gptmoe
