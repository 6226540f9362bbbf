#pragma once
// Matrix products on one thread. Kernels split the work between threads themselves, so that many small experts and one
// large layer are balanced the same way and no second thread pool competes with OpenMP's.
#include <string>

#include "kernels/cpu/real.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

// The operands of products: as they are, or rounded to bf16 (float only), by gemm_bf16.h. Sums are in Real.
enum class Operands { real, bf16 };

// The implementation: "OpenBLAS", ..., "built-in products", or "bf16 products (AMX)" and similar.
std::string gemm_library(Operands operands);
// Call once, before the first product: makes the library stay on the calling thread.
void gemm_initialize();

// All matrices row-major with leading dimensions; c (m, n) = or += the product, on the calling thread.
// c = a (m, k) b^T (n, k)
void gemm_nt(Operands operands, int64_t m, int64_t n, int64_t k, const Real* a, int64_t lda, const Real* b, int64_t ldb,
             Real* c, int64_t ldc, bool add);
// c = a (m, k) b (k, n)
void gemm_nn(Operands operands, int64_t m, int64_t n, int64_t k, const Real* a, int64_t lda, const Real* b, int64_t ldb,
             Real* c, int64_t ldc, bool add);
// c = a^T (k, m) b (k, n)
void gemm_tn(Operands operands, int64_t m, int64_t n, int64_t k, const Real* a, int64_t lda, const Real* b, int64_t ldb,
             Real* c, int64_t ldc, bool add);

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
