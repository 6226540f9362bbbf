#pragma once
// The machine's widest vector of Real as a GNU vector type: portable across x86 and Arm, with arithmetic that needs no
// intrinsics. Used wherever auto-vectorisation is not reliable enough.
#include <utility>

#include "kernels/cpu/real.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int64_t kVectorBytes = 32;
#else
constexpr int64_t kVectorBytes = 16;
#endif
constexpr int64_t kLanes = kVectorBytes / static_cast<int64_t>(sizeof(Real));

typedef Real Vector __attribute__((vector_size(kVectorBytes)));
// A Vector inside any Real array, which may be unaligned. It needs its own type, because clang assumes that every
// Vector& is aligned.
typedef Real VectorInArray __attribute__((vector_size(kVectorBytes), aligned(alignof(Real)), may_alias));

inline Vector load(const Real* x) { return *reinterpret_cast<const VectorInArray*>(x); }
inline void store(Real* x, const Vector& v) { *reinterpret_cast<VectorInArray*>(x) = v; }

inline int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Interleaves a and b: `low` holds a0 b0 a1 b1 ... of their lower halves, and `high` holds the same for their upper
// halves.
template <size_t... lane>
inline void interleave(Vector& low, Vector& high, const Vector& a, const Vector& b, std::index_sequence<lane...>) {
  low = __builtin_shufflevector(a, b, (lane / 2 + lane % 2 * kLanes)...);
  high = __builtin_shufflevector(a, b, (kLanes / 2 + lane / 2 + lane % 2 * kLanes)...);
}

// out[j * out_row + i] = x[i * x_row + j] for i, j < kLanes. Each pass interleaves the rows' halves, which rotates the
// bits of an element's index (row, column) by one; log2(kLanes) passes swap row and column.
inline void transpose_square(Real* out, int64_t out_row, const Real* x, int64_t x_row) {
  constexpr int n = kLanes;
  Vector rows[2][n];
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i) rows[0][i] = load(x + i * x_row);
  int from = 0;
#pragma GCC unroll 4
  for (int pass = 1; pass < n; pass *= 2, from ^= 1)
#pragma GCC unroll 8
    for (int i = 0; i < n / 2; ++i)
      interleave(rows[from ^ 1][2 * i], rows[from ^ 1][2 * i + 1], rows[from][i], rows[from][i + n / 2],
                 std::make_index_sequence<n>());
#pragma GCC unroll 16
  for (int i = 0; i < n; ++i) store(out + i * out_row, rows[from][i]);
}

// Lane l of the result is lane (l + by) % kLanes of v; `by` is a power of two up to 8.
template <size_t... lane>
inline Vector rotated(const Vector& v, int64_t by, std::index_sequence<lane...>) {
  return by == 8   ? __builtin_shufflevector(v, v, ((lane + 8) % kLanes)...)
         : by == 4 ? __builtin_shufflevector(v, v, ((lane + 4) % kLanes)...)
         : by == 2 ? __builtin_shufflevector(v, v, ((lane + 2) % kLanes)...)
                   : __builtin_shufflevector(v, v, ((lane + 1) % kLanes)...);
}

// Combines all lanes into one. Each step halves the number of lanes.
template <typename Combine>
inline Real across_lanes(Vector v, Combine&& combine) {
#pragma GCC unroll 4
  for (int64_t by = kLanes / 2; by > 0; by /= 2) v = combine(v, rotated(v, by, std::make_index_sequence<kLanes>()));
  return v[0];
}

// The largest of n > 0 elements.
inline Real max_of(const Real* x, int64_t n) {
  const auto larger = [](const Vector& a, const Vector& b) -> Vector { return a > b ? a : b; };
  int64_t i = 0;
  Real result = x[0];
  if (n >= kLanes) {
    Vector lanes = load(x);
    for (i = kLanes; i + kLanes <= n; i += kLanes) lanes = larger(load(x + i), lanes);
    result = across_lanes(lanes, larger);
  }
  for (; i < n; ++i) result = x[i] > result ? x[i] : result;
  return result;
}

inline Real sum_of(const Real* x, int64_t n) {
  Vector lanes[2] = {};
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) lanes[0] += load(x + i), lanes[1] += load(x + i + kLanes);
  for (; i + kLanes <= n; i += kLanes) lanes[0] += load(x + i);
  Real sum = across_lanes(lanes[0] + lanes[1], [](const Vector& a, const Vector& b) -> Vector { return a + b; });
  for (; i < n; ++i) sum += x[i];
  return sum;
}

// x[i] = e^(scale * x[i] - shift).
inline void exp_in_place(Real* x, int64_t n, Real scale, Real shift) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) x[i] = exp_real(scale * x[i] - shift);
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
