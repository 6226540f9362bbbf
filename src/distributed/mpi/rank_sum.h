#pragma once
#include <span>

#include "base/tensor.h"

namespace gptmoe {

// out[i] = parts[0][i] + parts[1][i] + ..., in this order; `out` may be one of the parts. `count` elements of f32, f64
// or bf16; bf16 elements are summed in f32 and rounded once.
void sum_in_rank_order(DType dtype, void* out, std::span<const void* const> parts, int64_t count);

}  // namespace gptmoe
