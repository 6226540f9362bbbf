#pragma once
// The one inner loop behind the built-in matrix product and attention: a tile of the result stays in registers while
// rows of b are multiplied with broadcast elements of a.
#include "kernels/cpu/vector.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

// c (kRows, kVectors * kLanes) = or += a (kRows, k) b (k, kVectors * kLanes). Element (i, p) of a is
// a[i * a_row + p * a_column]; rows of b and c are b_row and c_row apart.
template <int kRows, int kVectors>
[[gnu::always_inline]] inline void multiply_tile(int64_t k, const Real* a, int64_t a_row, int64_t a_column,
                                                 const Real* b, int64_t b_row, Real* c, int64_t c_row, bool add) {
  Vector sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[i][v] = Vector{};
  for (int64_t p = 0; p < k; ++p) {
    Vector bs[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) bs[v] = reinterpret_cast<const Vector*>(b)[v];
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[i][v] += a[i * a_row] * bs[v];
    }
    a += a_column;
    b += b_row;
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    Vector* out = reinterpret_cast<Vector*>(c + i * c_row);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) out[v] = add ? out[v] + sums[i][v] : sums[i][v];
  }
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
