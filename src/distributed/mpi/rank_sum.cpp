#include "distributed/mpi/rank_sum.h"

#include <algorithm>

#include "base/bf16.h"

namespace gptmoe {
namespace {

constexpr int64_t kBlock = 2048;      // elements whose sums stay in the first-level cache
constexpr int64_t kParallel = 32768;  // with this many elements or more, several threads pay off

template <typename T>
T widened(T value) {
  return value;
}
float widened(uint16_t bits) { return bf16_value(bits); }

void round_to(float* out, float value) { *out = value; }
void round_to(double* out, double value) { *out = value; }
void round_to(uint16_t* out, float value) { *out = bf16_bits(value); }

template <typename T, typename Sum>
void sum_block(T* out, std::span<const void* const> parts, int64_t first, int64_t count) {
  Sum sums[kBlock];
  const T* part = static_cast<const T*>(parts[0]) + first;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) sums[i] = widened(part[i]);
  for (size_t r = 1; r < parts.size(); ++r) {
    part = static_cast<const T*>(parts[r]) + first;
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) sums[i] += widened(part[i]);
  }
  out += first;
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) round_to(&out[i], sums[i]);
}

template <typename T, typename Sum>
void sum_all(void* out, std::span<const void* const> parts, int64_t count) {
  const int64_t blocks = (count + kBlock - 1) / kBlock;
#pragma omp parallel for schedule(static) if (count >= kParallel)
  for (int64_t b = 0; b < blocks; ++b)
    sum_block<T, Sum>(static_cast<T*>(out), parts, b * kBlock, std::min(kBlock, count - b * kBlock));
}

}  // namespace

void sum_in_rank_order(DType dtype, void* out, std::span<const void* const> parts, int64_t count) {
  switch (dtype) {
    case DType::f32: return sum_all<float, float>(out, parts, count);
    case DType::f64: return sum_all<double, double>(out, parts, count);
    case DType::bf16: return sum_all<uint16_t, float>(out, parts, count);
    default: GPTMOE_CHECK(false, "cannot sum ", dtype_name(dtype));
  }
}

}  // namespace gptmoe
