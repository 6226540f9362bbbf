#pragma once
// Matrix products on one thread. Kernels split the work between threads themselves, so that many small experts and one
// large layer are balanced the same way and no second thread pool competes with OpenMP's.
#include <string>

#include "kernels/cpu/real.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

// Whether matrix products use their operands as they are, or round them to bf16 (float only; see gemm_bf16.h). Sums are
// in Real.
enum class Operands { real, bf16 };

// The name of the implementation: "OpenBLAS", "built-in products", "bf16 products (AMX)" and so on.
std::string gemm_library(Operands operands);
// Makes the library compute on the calling thread alone. Call it once, before the first product.
void gemm_initialize();

// These functions set `c` (m, n) to a matrix product, or add the product to c if `add`. They run on the calling thread.
// All matrices are row-major with leading dimensions.
//
// The product is a * b^T, with `a` (m, k) and `b` (n, k).
void gemm_nt(Operands operands, int64_t m, int64_t n, int64_t k, const Real* a, int64_t lda, const Real* b, int64_t ldb,
             Real* c, int64_t ldc, bool add);
// The product is a * b, with `a` (m, k) and `b` (k, n).
void gemm_nn(Operands operands, int64_t m, int64_t n, int64_t k, const Real* a, int64_t lda, const Real* b, int64_t ldb,
             Real* c, int64_t ldc, bool add);
// The product is a^T * b, with `a` (k, m) and `b` (k, n).
void gemm_tn(Operands operands, int64_t m, int64_t n, int64_t k, const Real* a, int64_t lda, const Real* b, int64_t ldb,
             Real* c, int64_t ldc, bool add);

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
