#pragma once
// The inner loop of the built-in matrix product and attention: a tile of the result stays in registers while rows of
// `b` are multiplied by broadcast elements of `a`.
#include "kernels/cpu/vector.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

// Sets `c` (kRows, kVectors * kLanes) to `a` (kRows, k) * `b` (k, kVectors * kLanes), or adds the product to c if
// `add`. Element (i, p) of the matrix `a` is a[i * a_row + p * a_column]. Rows of b are b_row elements apart, and rows
// of c are c_row apart.
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void multiply_tile(int64_t k, const Real* a, int64_t a_row, int64_t a_column,
                                                 const Real* b, int64_t b_row, Real* c, int64_t c_row, bool add) {
  Vector sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[i][v] = Vector{};
  // One pointer for every three rows: an address can add one or two row strides to a pointer, but not more.
  constexpr int kGroups = (kRows + 2) / 3;
  const Real* groups[kGroups];
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g) groups[g] = a + 3 * g * a_row;
  for (int64_t p = 0; p < k; ++p) {
    Vector bs[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) bs[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[i][v] += groups[i / 3][i % 3 * a_row] * bs[v];
    }
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) groups[g] += a_column;
    b += b_row;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    Real* out = c + i * c_row;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const Vector sum = sums[i][v];
      store(out + v * kLanes, add ? load(out + v * kLanes) + sum : sum);
    }
  }
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
