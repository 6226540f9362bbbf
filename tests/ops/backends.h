#pragma once
// The backends under test, made once per process.
#include "kernels/ops.h"

namespace gptmoe {

// The CPU over double.
Ops& double_ops(int threads);
// The CPU over float, the product's.
Ops& float_ops(int threads);
// The same with products of operands rounded to bf16.
Ops& bf16_product_ops(int threads);

}  // namespace gptmoe
