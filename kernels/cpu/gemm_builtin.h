#pragma once
#include "kernels/cpu/real.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

// Sets `c` (m, n) to `a` (m, k) * `b` (k, n), or adds the product to c if `add`. Runs on the calling thread. The loops
// are blocked for caches and registers as in Goto & van de Geijn 2008. The functions of gemm.h use it unless a library
// is chosen. The operands may have any strides; c is row-major; k > 0.
void gemm_builtin(int64_t m, int64_t n, int64_t k, const Real* a, int64_t a_row, int64_t a_column, const Real* b,
                  int64_t b_row, int64_t b_column, Real* c, int64_t ldc, bool add);

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
