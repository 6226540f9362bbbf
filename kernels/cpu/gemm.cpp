#include "kernels/cpu/gemm.h"

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/cpu/gemm_builtin.h"

#ifdef GPTMOE_BLAS_OPENBLAS
#include <cblas.h>
extern "C" void openblas_set_num_threads(int);  // on some distributions cblas.h does not declare it
#endif

namespace gptmoe::GPTMOE_CPU_NAMESPACE {
namespace {

// An operand in memory: row-major, with rows `stride` apart. It is read as its transpose if `transposed` is set.
struct Operand {
  const Real* data;
  int64_t stride;
  bool transposed;
  int64_t row() const { return transposed ? 1 : stride; }
  int64_t column() const { return transposed ? stride : 1; }
};

#ifdef GPTMOE_BLAS_OPENBLAS

int blas_int(int64_t n) {
  GPTMOE_CHECK(n <= std::numeric_limits<int>::max(), "matrix dimension ", n, " is beyond the library's integers");
  return static_cast<int>(n);
}

void library_product(int64_t m, int64_t n, int64_t k, Operand a, Operand b, Real* c, int64_t ldc, bool add) {
#ifdef GPTMOE_CPU_F64
  const auto product = cblas_dgemm;
#else
  const auto product = cblas_sgemm;
#endif
  product(CblasRowMajor, a.transposed ? CblasTrans : CblasNoTrans, b.transposed ? CblasTrans : CblasNoTrans,
          blas_int(m), blas_int(n), blas_int(k), Real{1}, a.data, blas_int(a.stride), b.data, blas_int(b.stride),
          add ? Real{1} : Real{0}, c, blas_int(ldc));
}

#endif

void product(Operands operands, int64_t m, int64_t n, int64_t k, Operand a, Operand b, Real* c, int64_t ldc, bool add) {
  if (m == 0 || n == 0) return;
  if (k == 0) {  // an expert without rows; not every library supports k = 0
    if (!add)
      for (int64_t i = 0; i < m; ++i) std::fill_n(c + i * ldc, n, Real{0});
    return;
  }
  if (operands == Operands::bf16) {
#ifdef GPTMOE_CPU_F64
    GPTMOE_CHECK(false, "products of doubles in bf16");
#else
    return gemm_bf16(bf16_kernels().front(), m, n, k, a.data, a.row(), a.column(), b.data, b.row(), b.column(), c, ldc,
                     add);
#endif
  }
#ifdef GPTMOE_BLAS_OPENBLAS
  library_product(m, n, k, a, b, c, ldc, add);
#else
  gemm_builtin(m, n, k, a.data, a.row(), a.column(), b.data, b.row(), b.column(), c, ldc, add);
#endif
}

}  // namespace

std::string gemm_library([[maybe_unused]] Operands operands) {
#ifndef GPTMOE_CPU_F64
  if (operands == Operands::bf16) return text("bf16 products (", bf16_kernels().front().name, ")");
#endif
#ifdef GPTMOE_BLAS_OPENBLAS
  return "OpenBLAS";
#else
  return "built-in products";
#endif
}

void gemm_initialize() {
#ifdef GPTMOE_BLAS_OPENBLAS
  openblas_set_num_threads(1);
#endif
}

void gemm_nt(Operands operands, int64_t m, int64_t n, int64_t k, const Real* a, int64_t lda, const Real* b, int64_t ldb,
             Real* c, int64_t ldc, bool add) {
  product(operands, m, n, k, {a, lda, false}, {b, ldb, true}, c, ldc, add);
}

void gemm_nn(Operands operands, int64_t m, int64_t n, int64_t k, const Real* a, int64_t lda, const Real* b, int64_t ldb,
             Real* c, int64_t ldc, bool add) {
  product(operands, m, n, k, {a, lda, false}, {b, ldb, false}, c, ldc, add);
}

void gemm_tn(Operands operands, int64_t m, int64_t n, int64_t k, const Real* a, int64_t lda, const Real* b, int64_t ldb,
             Real* c, int64_t ldc, bool add) {
  product(operands, m, n, k, {a, lda, true}, {b, ldb, false}, c, ldc, add);
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
