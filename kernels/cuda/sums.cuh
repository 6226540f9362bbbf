#pragma once
// Two-stage reductions: many blocks write partial sums to CudaKernels::partials(), and one small kernel adds them up,
// always in the same order.
#include "kernels/cuda/common.cuh"

namespace gptmoe::cuda {

// out[c] += sum over r of partials[r * width + c], c in [0, width). With `second`, the first half of the columns goes
// to `out` and the other half to `second`.
void add_column_sums(cudaStream_t stream, float* out, const float* partials, int64_t rows, int64_t width,
                     float* second = nullptr);

// Sets out[0] to factor * the sum of partials[0, rows), or adds this value to out[0].
enum class Total { assign, add };
void finish_sum(cudaStream_t stream, float* out, const float* partials, int64_t rows, float factor, Total total);

constexpr int kSumThreads = 256;

// Computes one partial sum per block. values.term<N>(i) is the sum of the N terms from i on. The terms after the last
// multiple of N are added singly.
template <int N, typename Values>
__global__ void partial_sums_kernel(float* partials, Values values, int64_t count) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kSumThreads + threadIdx.x;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kSumThreads, packs = count / N;
  constexpr int kAhead = 4;  // loads in flight
  float sum = 0;
  int64_t pack = thread;
  for (; pack + (kAhead - 1) * step < packs; pack += kAhead * step) {
    float term[kAhead];
    for (int i = 0; i < kAhead; ++i) term[i] = values.template term<N>((pack + i * step) * N);
    for (int i = 0; i < kAhead; ++i) sum += term[i];
  }
  for (; pack < packs; pack += step) sum += values.template term<N>(pack * N);
  for (int64_t at = packs * N + thread; at < count; at += step) sum += values.template term<1>(at);
  sum = block_sum(sum, shared_memory<float>());
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// Sets partials[0, blocks) to partial sums that together cover the `count` terms of `values`.
template <int N, typename Values>
void partial_sums(cudaStream_t stream, float* partials, int64_t blocks, const Values& values, int64_t count) {
  GPTMOE_LAUNCH((partial_sums_kernel<N, Values>), static_cast<unsigned>(blocks), kSumThreads, kMaxWarps * sizeof(float),
                stream, partials, values, count);
}
// Terms that are the squares of x's elements.
template <typename T>
struct SquareTerms {
  const T* x;
  template <int N>
  __device__ float term(int64_t at) const {
    const auto pack = Pack<T, N>::load(x + at);
    float sum = 0;
    for (int i = 0; i < N; ++i) sum += pack[i] * pack[i];
    return sum;
  }
};

// The number of blocks that suits `count` terms best.
inline int64_t sum_blocks(int64_t count) { return ceil_div(count, 4 * kSumThreads); }

}  // namespace gptmoe::cuda
