#pragma once
// Loops over one row, shared by the row-wise kernels.
//
// Here and in the kernels every vectorised loop is in a function that takes plain pointers and numbers. In a lambda,
// every iteration would read the captures through the closure again, which slows the loop down.
#include <algorithm>
#include <cstdint>

#include "kernels/cpu/real.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

// Work below this many elements is not worth a second thread.
constexpr int64_t kGrainElements = 16384;

// The number of rows, of `elements` elements each, in one unit of work for parallel_ranges().
inline int64_t row_grain(int64_t elements) { return std::max<int64_t>(1, kGrainElements / elements); }

inline Real dot(const Real* a, const Real* b, int64_t n) {
  Real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// y += a * x.
inline void add_scaled(Real* y, Real a, const Real* x, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}

// y += sum_j weights[j] * row(j), four rows per pass over y.
template <typename Row>
void add_weighted_rows(Real* y, int64_t n, const Real* weights, int64_t rows, Row&& row) {
  int64_t j = 0;
  for (; j + 4 <= rows; j += 4) {
    const Real w0 = weights[j], w1 = weights[j + 1], w2 = weights[j + 2], w3 = weights[j + 3];
    const Real *r0 = row(j), *r1 = row(j + 1), *r2 = row(j + 2), *r3 = row(j + 3);
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) y[i] += (w0 * r0[i] + w1 * r1[i]) + (w2 * r2[i] + w3 * r3[i]);
  }
  for (; j < rows; ++j) add_scaled(y, weights[j], row(j), n);
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
