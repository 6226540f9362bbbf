#include <algorithm>

#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/warps.cuh"

// TopK moves (R + N) C elements forward and at most (3 R + N) C backward. A warp handles one token (backward: one slot)
// and is limited by memory traffic. Default MoE moves no more elements but multiplies by all E default vectors: 2 N E C
// operations each way. To stay within the time of the memory traffic, a warp handles 8 tokens at a time, so that a
// value read from the cache or from shared memory is used for 8 tokens in registers.

namespace gptmoe::cuda {
namespace {

constexpr int kTokenThreads = 256;                                     // the TopK kernels
constexpr int kTokens = 8, kThreads = 128, kWarps = kThreads / kWarp;  // the Default kernels; kTokens per warp

template <typename T, int N>
__global__ void topk_forward_kernel(T* __restrict__ y_NC, const T* __restrict__ rows_RC,
                                    const float* __restrict__ gates_NK, const int32_t* __restrict__ positions_NK,
                                    int64_t tokens, int K, int64_t C) {
  const int64_t n = grid_warp_index();
  if (n >= tokens) return;
  const float* gates = gates_NK + n * K;
  const int32_t* positions = positions_NK + n * K;
  for (int64_t c = lane_index() * N; c < C; c += kWarp * N) {
    float sums[N] = {};
    for (int k = 0; k < K; ++k) {
      if (positions[k] < 0) continue;
      const auto row = Pack<T, N>::load(rows_RC + positions[k] * C + c);
      for (int i = 0; i < N; ++i) sums[i] += gates[k] * row[i];
    }
    Pack<T, N> y;
    for (int i = 0; i < N; ++i) y.set(i, sums[i]);
    y.store(y_NC + n * C + c);
  }
}

// For one warp: drow = weight * dy; returns <dy, row> to every lane.
template <typename T, int N>
__device__ float combine_row_backward(T* __restrict__ drow, float weight, const T* __restrict__ dy,
                                      const T* __restrict__ row, int64_t C) {
  float sum = 0;
  for (int64_t c = lane_index() * N; c < C; c += kWarp * N) {
    const auto dys = Pack<T, N>::load(dy + c), rows = Pack<T, N>::load(row + c);
    Pack<T, N> drows;
    for (int i = 0; i < N; ++i) {
      sum += dys[i] * rows[i];
      drows.set(i, weight * dys[i]);
    }
    drows.store(drow + c);
  }
  return warp_sum(sum);
}

template <typename T, int N>
__global__ void topk_backward_kernel(T* drows_RC, float* dgates_NK, const T* dy_NC, const T* rows_RC,
                                     const float* gates_NK, const int32_t* positions_NK, int64_t R, int K, int64_t C) {
  const int64_t slot = grid_warp_index();
  if (slot >= R) return;
  if (positions_NK[slot] < 0) {
    if (lane_index() == 0) dgates_NK[slot] = 0;
    return;
  }
  const int64_t row = positions_NK[slot] * C;
  const float sum = combine_row_backward<T, N>(drows_RC + row, gates_NK[slot], dy_NC + slot / K * C, rows_RC + row, C);
  if (lane_index() == 0) dgates_NK[slot] = sum;
}

struct DefaultShape {
  int64_t tokens, E, C;
  int K;
};

// Whether the token of `expert_ids` chose `expert`.
__device__ bool chosen(const int32_t* expert_ids, int K, int64_t expert) {
  bool found = false;
  for (int k = 0; k < K; ++k) found |= expert_ids[k] == expert;
  return found;
}

// A warp handles kTokens tokens by kWarp * N columns. blockIdx.y selects the columns, so that blocks that run at the
// same time need the same part of the default vectors.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads, 3)
    default_forward_kernel(T* __restrict__ y_NC, const T* __restrict__ rows_RC, const float* __restrict__ probs_NE,
                           const int32_t* __restrict__ expert_ids_NK, const int32_t* __restrict__ positions_NK,
                           const float* __restrict__ default_EC, DefaultShape shape) {
  const auto [tokens, E, C, K] = shape;
  const int lane = lane_index();
  const int64_t first = grid_warp_index() * kTokens, column = (int64_t{blockIdx.y} * kWarp + lane) * N;
  if (first >= tokens) return;
  const bool inside = column < C;
  const auto token = [=, tokens = tokens](int t) { return first + t < tokens ? first + t : tokens - 1; };
  float sums[kTokens][N] = {};

  float* const weights = shared_memory<float>() + warp_index() * kWarp * kTokens;  // (experts, tokens)
  for (int64_t begin = 0; begin < E; begin += kWarp) {
    const int64_t expert = begin + lane;
    Pack<float, 4> own[kTokens / 4];
    GPTMOE_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      const bool other = expert < E && !chosen(expert_ids_NK + token(t) * K, K, expert);
      own[t / 4].element[t % 4] = other ? probs_NE[token(t) * E + expert] : 0.0f;
    }
    __syncwarp();
    GPTMOE_UNROLL
    for (int t = 0; t < kTokens; t += 4) own[t / 4].store(weights + lane * kTokens + t);
    __syncwarp();
    const int experts = E - begin < kWarp ? static_cast<int>(E - begin) : kWarp;
    for (int e = 0; e < experts && inside; ++e) {
      float vector[N], weight[kTokens];
      load_floats(vector, default_EC + (begin + e) * C + column);
      load_floats(weight, weights + e * kTokens);
      GPTMOE_UNROLL
      for (int t = 0; t < kTokens; ++t)
        for (int i = 0; i < N; ++i) sums[t][i] += weight[t] * vector[i];
    }
  }
  if (!inside) return;
  for (int k = 0; k < K; ++k) {
    GPTMOE_UNROLL
    for (int t = 0; t < kTokens; ++t) {
      const int64_t slot = token(t) * K + k;
      const float weight = probs_NE[token(t) * E + expert_ids_NK[slot]];
      const auto row = Pack<T, N>::load(rows_RC + positions_NK[slot] * C + column);
      for (int i = 0; i < N; ++i) sums[t][i] += weight * row[i];
    }
  }
  GPTMOE_UNROLL
  for (int t = 0; t < kTokens; ++t) {
    if (first + t >= tokens) break;
    Pack<T, N> y;
    for (int i = 0; i < N; ++i) y.set(i, sums[t][i]);
    y.store_whole(y_NC + (first + t) * C + column);
  }
}

// Sums 2 * kWarp values over the warp's lanes. Each step halves the number of values per lane; in the end lane l has
// the sums of values 2 l and 2 l + 1, in values[0] and values[1].
template <int kBit = kWarp / 2>
__device__ void warp_sum_scattered(float (&values)[2 * kWarp]) {
  const bool upper = (lane_index() & kBit) != 0;
  GPTMOE_UNROLL
  for (int i = 0; i < 2 * kBit; ++i) {
    const float kept = upper ? values[i + 2 * kBit] : values[i], given = upper ? values[i] : values[i + 2 * kBit];
    values[i] = kept + __shfl_xor_sync(kAllLanes, given, kBit);
  }
  if constexpr (kBit > 1) warp_sum_scattered<kBit / 2>(values);
}

// Experts handled at a time. warp_sum_scattered sums kExperts * kTokens values.
constexpr int kExperts = 2 * kWarp / kTokens;

// A block handles kTokens tokens. For dprobs of the experts that were not chosen, its threads divide the columns, for
// kExperts experts at a time. Then its warps divide the slots.
template <typename T, int N>
__global__ void __launch_bounds__(kThreads, 3)
    default_backward_kernel(T* drows_RC, float* dprobs_NE, const T* __restrict__ dy_NC, const T* __restrict__ rows_RC,
                            const float* __restrict__ probs_NE, const int32_t* __restrict__ expert_ids_NK,
                            const int32_t* __restrict__ positions_NK, const float* __restrict__ default_EC,
                            DefaultShape shape) {
  constexpr int kValues = kTokens * kExperts,
                kPart = N < 4 ? N : 4;  // columns handled at a time; more would need too many registers
  const auto [tokens, E, C, K] = shape;
  const int lane = lane_index(), thread = static_cast<int>(threadIdx.x);
  const int64_t first = int64_t{blockIdx.x} * kTokens;
  const auto token = [=, tokens = tokens](int t) { return first + t < tokens ? first + t : tokens - 1; };
  auto* const warp_sums = shared_memory<float[kWarps][kValues]>();  // two arrays, used in turns
  int turn = 0;
  for (int64_t begin = 0; begin < E; begin += kExperts, turn ^= 1) {
    float sums[kValues] = {};
    for (int64_t column = int64_t{thread} * kPart; column < C; column += kThreads * kPart) {
      float dys[kTokens][kPart];
      GPTMOE_UNROLL
      for (int t = 0; t < kTokens; ++t) {
        const auto dy = Pack<T, kPart>::load(dy_NC + token(t) * C + column);
        for (int i = 0; i < kPart; ++i) dys[t][i] = dy[i];
      }
      GPTMOE_UNROLL
      for (int e = 0; e < kExperts; ++e) {
        float vector[kPart];
        load_floats(vector, default_EC + (begin + e < E ? begin + e : E - 1) * C + column);
        GPTMOE_UNROLL
        for (int t = 0; t < kTokens; ++t)
          for (int i = 0; i < kPart; ++i) sums[t * kExperts + e] += dys[t][i] * vector[i];
      }
    }
    warp_sum_scattered(sums);
    Pack<float, 2>{{sums[0], sums[1]}}.store(warp_sums[turn][warp_index()] + 2 * lane);
    __syncthreads();
    if (thread < kValues) {
      float sum = 0;
      for (int warp = 0; warp < kWarps; ++warp) sum += warp_sums[turn][warp][thread];
      const int64_t n = first + thread / kExperts, expert = begin + thread % kExperts;
      if (n < tokens && expert < E && !chosen(expert_ids_NK + n * K, K, expert)) dprobs_NE[n * E + expert] = sum;
    }
  }
  const int64_t slots = (first + kTokens < tokens ? kTokens : tokens - first) * K;
  for (int64_t slot = first * K + warp_index(); slot < first * K + slots; slot += kWarps) {
    const int64_t n = slot / K, row = positions_NK[slot] * C, at = n * E + expert_ids_NK[slot];
    const float sum = combine_row_backward<T, N>(drows_RC + row, probs_NE[at], dy_NC + n * C, rows_RC + row, C);
    if (lane == 0) dprobs_NE[at] = sum;
  }
}

}  // namespace

void CudaKernels::topk_combine_forward(const Tensor& y_NC, const Tensor& rows_RC, const Tensor& gates_NK,
                                       const Tensor& positions_NK) {
  const int64_t N = y_NC.size(0), C = y_NC.size(1), K = gates_NK.size(1);
  const float* gates = gates_NK.as<float>();
  const int32_t* positions = positions_NK.as<int32_t>();
  with_real(y_NC, [&]<typename T>(T*) {
    T* y = y_NC.as<T>();
    const T* rows = rows_RC.as<T>();
    with_pack<T>(
        C,
        [&]<int kPack>(std::integral_constant<int, kPack>) {
          GPTMOE_LAUNCH((topk_forward_kernel<T, kPack>), blocks_for_warps(N, kTokenThreads), kTokenThreads, 0, stream_,
                        y, rows, gates, positions, N, static_cast<int>(K), C);
        },
        y, rows);
  });
}

void CudaKernels::topk_combine_backward(const Tensor& drows_RC, const Tensor& dgates_NK, const Tensor& dy_NC,
                                        const Tensor& rows_RC, const Tensor& gates_NK, const Tensor& positions_NK) {
  const int64_t N = dy_NC.size(0), C = dy_NC.size(1), K = gates_NK.size(1), R = N * K;
  float* dgates = dgates_NK.as<float>();
  const float* gates = gates_NK.as<float>();
  const int32_t* positions = positions_NK.as<int32_t>();
  with_real(drows_RC, [&]<typename T>(T*) {
    T* drows = drows_RC.as<T>();
    const T *dy = dy_NC.as<T>(), *rows = rows_RC.as<T>();
    with_pack<T>(
        C,
        [&]<int kPack>(std::integral_constant<int, kPack>) {
          GPTMOE_LAUNCH((topk_backward_kernel<T, kPack>), blocks_for_warps(R, kTokenThreads), kTokenThreads, 0, stream_,
                        drows, dgates, dy, rows, gates, positions, R, static_cast<int>(K), C);
        },
        drows, dy, rows);
  });
}

void CudaKernels::default_combine_forward(const Tensor& y_NC, const Tensor& rows_RC, const Tensor& probs_NE,
                                          const Tensor& expert_ids_NK, const Tensor& positions_NK,
                                          const Tensor& default_EC) {
  const int64_t N = y_NC.size(0), C = y_NC.size(1), E = probs_NE.size(1), K = expert_ids_NK.size(1);
  const float *probs = probs_NE.as<float>(), *defaults = default_EC.as<float>();
  const int32_t *expert_ids = expert_ids_NK.as<int32_t>(), *positions = positions_NK.as<int32_t>();
  with_real(y_NC, [&]<typename T>(T*) {
    T* y = y_NC.as<T>();
    const T* rows = rows_RC.as<T>();
    with_pack<T>(
        C,
        [&]<int kPack>(std::integral_constant<int, kPack>) {
          const dim3 grid(blocks_for_warps(ceil_div(N, kTokens), kThreads),
                          static_cast<unsigned>(ceil_div(C, kWarp * kPack)));
          GPTMOE_LAUNCH((default_forward_kernel<T, kPack>), grid, kThreads, sizeof(float) * kThreads * kTokens, stream_,
                        y, rows, probs, expert_ids, positions, defaults, DefaultShape{N, E, C, static_cast<int>(K)});
        },
        y, rows, defaults);
  });
}

void CudaKernels::default_combine_backward(const Tensor& drows_RC, const Tensor& dprobs_NE, const Tensor& dy_NC,
                                           const Tensor& rows_RC, const Tensor& probs_NE, const Tensor& expert_ids_NK,
                                           const Tensor& positions_NK, const Tensor& default_EC) {
  const int64_t N = dy_NC.size(0), C = dy_NC.size(1), E = probs_NE.size(1), K = expert_ids_NK.size(1);
  float* dprobs = dprobs_NE.as<float>();
  const float *probs = probs_NE.as<float>(), *defaults = default_EC.as<float>();
  const int32_t *expert_ids = expert_ids_NK.as<int32_t>(), *positions = positions_NK.as<int32_t>();
  with_real(drows_RC, [&]<typename T>(T*) {
    T* drows = drows_RC.as<T>();
    const T *dy = dy_NC.as<T>(), *rows = rows_RC.as<T>();
    with_pack<T>(
        C,
        [&]<int kPack>(std::integral_constant<int, kPack>) {
          GPTMOE_LAUNCH((default_backward_kernel<T, kPack>), static_cast<unsigned>(ceil_div(N, kTokens)), kThreads,
                        2 * sizeof(float) * kWarps * kTokens * kExperts, stream_, drows, dprobs, dy, rows, probs,
                        expert_ids, positions, defaults, DefaultShape{N, E, C, static_cast<int>(K)});
        },
        drows, dy, rows, defaults);
  });
}

}  // namespace gptmoe::cuda
