// A token's E probabilities are a short row, so with_lanes() gives it 4 to 32 lanes. Lane l takes the experts l + i *
// lanes. These kernels move N E floats two or three times, 2 MB each time at 16k tokens and 32 experts: launches cost
// more than the traffic.
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/sums.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 256;
constexpr float kInfinity = __builtin_huge_valf();

template <int kLanes>
unsigned row_blocks(int64_t N) {
  return static_cast<unsigned>(ceil_div(N, kThreads / kLanes));
}

// This lane's part of a row of E: elements lane, lane + kLanes, ... below `end`. `end` is 0 past the last row, where
// lanes take part in warp operations but access no memory.
template <int kLanes>
struct RowPart {
  int64_t n, lane, end;
  __device__ RowPart(int64_t N, int64_t E)
      : n(static_cast<int64_t>(blockIdx.x) * (kThreads / kLanes) + threadIdx.x / kLanes),
        lane(threadIdx.x % kLanes),
        end(n < N ? E : 0) {}
  __device__ bool writes() const { return lane == 0 && end > 0; }  // whether this lane writes the row's single values
};

template <int kLanes>
__global__ void softmax_forward_kernel(float* probs, float* lse, const float* logits, int64_t N, int64_t E) {
  const RowPart<kLanes> part(N, E);
  const float* x = logits + part.n * E;
  float* p = probs + part.n * E;
  float top = -kInfinity, sum = 0;
  for (int64_t e = part.lane; e < part.end; e += kLanes) top = fmaxf(top, x[e]);
  top = lanes_max<kLanes>(top);
  for (int64_t e = part.lane; e < part.end; e += kLanes) sum += p[e] = expf(x[e] - top);
  sum = lanes_sum<kLanes>(sum);
  for (int64_t e = part.lane; e < part.end; e += kLanes) p[e] /= sum;
  if (part.writes()) lse[part.n] = top + logf(sum);
}

// dlogits may alias dprobs: a lane reads each of its elements before it writes it.
template <int kLanes>
__global__ void softmax_backward_kernel(float* dlogits, const float* dprobs, const float* probs, int64_t N, int64_t E) {
  const RowPart<kLanes> part(N, E);
  const int64_t row = part.n * E;
  float mean = 0;
  for (int64_t e = part.lane; e < part.end; e += kLanes) mean += probs[row + e] * dprobs[row + e];
  mean = lanes_sum<kLanes>(mean);
  for (int64_t e = part.lane; e < part.end; e += kLanes) dlogits[row + e] = probs[row + e] * (dprobs[row + e] - mean);
}

// A probability and its expert, in the order of choice: larger ones first, ties by expert. NaN counts as the least, so
// that ids are in range and distinct for any values.
struct Choice {
  float value;
  int expert;
  __device__ bool before(const Choice& other) const {
    return value > other.value || (value == other.value && expert < other.expert);
  }
};

// Runs K rounds. Each takes the next choice in the order of Choice.
template <int kLanes>
__global__ void topk_forward_kernel(int32_t* expert_ids, float* gates, const float* probs, const float* bias, int64_t N,
                                    int64_t E, int64_t K, bool normalize, float scale) {
  const RowPart<kLanes> part(N, E);
  const float* p = probs + part.n * E;
  int32_t* ids = expert_ids + part.n * K;
  float* g = gates + part.n * K;
  const int none = static_cast<int>(E);
  Choice last{kInfinity, -1};
  float sum = 0;
  for (int64_t k = 0; k < K; ++k) {
    Choice best{-kInfinity, none};
    for (int64_t e = part.lane; e < part.end; e += kLanes) {
      const float score = bias ? p[e] + bias[e] : p[e];
      const Choice choice{score == score ? score : -kInfinity, static_cast<int>(e)};
      if (last.before(choice) && choice.before(best)) best = choice;
    }
    for (int bits = kLanes / 2; bits > 0; bits /= 2) {
      const Choice other{__shfl_xor_sync(kAllLanes, best.value, bits), __shfl_xor_sync(kAllLanes, best.expert, bits)};
      if (other.before(best)) best = other;
    }
    last = best;
    if (!part.writes()) continue;
    ids[k] = best.expert;
    sum += g[k] = p[best.expert];
  }
  if (part.writes())
    for (int64_t k = 0; k < K; ++k) g[k] = (normalize ? g[k] / sum : g[k]) * scale;
}

// Without normalisation, gate = scale * p. With it, gate = scale * p / sum, so dp = scale * (dgate - <dgate, gate /
// scale>) / sum.
template <int kLanes>
__global__ void topk_backward_kernel(float* dprobs, const float* dgates, const float* gates, const int32_t* expert_ids,
                                     const float* probs, int64_t N, int64_t E, int64_t K, bool normalize, float scale) {
  const RowPart<kLanes> part(N, E);
  if (part.end == 0) return;
  const float *dg = dgates + part.n * K, *g = gates + part.n * K;
  const int32_t* ids = expert_ids + part.n * K;
  float sum = 1, mean = 0;
  if (normalize) {
    sum = 0;
    for (int64_t k = 0; k < K; ++k) {
      sum += probs[part.n * E + ids[k]];
      mean += dg[k] * (g[k] / scale);
    }
  }
  for (int64_t e = part.lane; e < E; e += kLanes) {
    float dp = 0;
    for (int64_t k = 0; k < K; ++k)
      if (ids[k] == e) dp = scale * (dg[k] - mean) / sum;
    dprobs[part.n * E + e] = dp;
  }
}

struct EntropyTerms {
  const float* probs;
  template <int N>
  __device__ float term(int64_t at) const {
    const float p = probs[at];
    return p == 0 ? 0.0f : -p * logf(p);
  }
};

// The entropy of each row's p / sum(p), which is log(sum) - <p, log(p)> / sum.
struct ShareEntropyTerms {
  const float* probs;
  int64_t E;
  template <int N>
  __device__ float term(int64_t n) const {
    float sum = 0, plogp = 0;
    for (int64_t at = n * E; at < (n + 1) * E; ++at) {
      const float p = probs[at];
      if (p == 0) continue;
      sum += p;
      plogp += p * logf(p);
    }
    return sum == 0 ? 0.0f : logf(sum) - plogp / sum;
  }
};

}  // namespace

void CudaKernels::router_softmax_forward(const Tensor& probs_NE, const Tensor& lse_N, const Tensor& logits_NE) {
  const int64_t N = logits_NE.size(0), E = logits_NE.size(1);
  float *probs = probs_NE.as<float>(), *lse = lse_N.as<float>();
  const float* logits = logits_NE.as<float>();
  with_lanes(E, [&]<int L>(std::integral_constant<int, L>) {
    GPTMOE_LAUNCH(softmax_forward_kernel<L>, row_blocks<L>(N), kThreads, 0, stream_, probs, lse, logits, N, E);
  });
}

void CudaKernels::router_softmax_backward(const Tensor& dlogits_NE, const Tensor& dprobs_NE, const Tensor& probs_NE) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1);
  float* dlogits = dlogits_NE.as<float>();
  const float *dprobs = dprobs_NE.as<float>(), *probs = probs_NE.as<float>();
  with_lanes(E, [&]<int L>(std::integral_constant<int, L>) {
    GPTMOE_LAUNCH(softmax_backward_kernel<L>, row_blocks<L>(N), kThreads, 0, stream_, dlogits, dprobs, probs, N, E);
  });
}

void CudaKernels::topk_forward(const Tensor& expert_ids_NK, const Tensor& gates_NK, const Tensor& probs_NE,
                               bool normalize, double scale, const Tensor& bias_E) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1), K = expert_ids_NK.size(1);
  int32_t* expert_ids = expert_ids_NK.as<int32_t>();
  float* gates = gates_NK.as<float>();
  const float *probs = probs_NE.as<float>(), *bias = bias_E.present() ? bias_E.as<float>() : nullptr;
  with_lanes(E, [&]<int L>(std::integral_constant<int, L>) {
    GPTMOE_LAUNCH(topk_forward_kernel<L>, row_blocks<L>(N), kThreads, 0, stream_, expert_ids, gates, probs, bias, N, E,
                  K, normalize, static_cast<float>(scale));
  });
}

void CudaKernels::topk_backward(const Tensor& dprobs_NE, const Tensor& dgates_NK, const Tensor& gates_NK,
                                const Tensor& expert_ids_NK, const Tensor& probs_NE, bool normalize, double scale) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1), K = expert_ids_NK.size(1);
  float* dprobs = dprobs_NE.as<float>();
  const float *dgates = dgates_NK.as<float>(), *gates = gates_NK.as<float>(), *probs = probs_NE.as<float>();
  const int32_t* expert_ids = expert_ids_NK.as<int32_t>();
  with_lanes(E, [&]<int L>(std::integral_constant<int, L>) {
    GPTMOE_LAUNCH(topk_backward_kernel<L>, row_blocks<L>(N), kThreads, 0, stream_, dprobs, dgates, gates, expert_ids,
                  probs, N, E, K, normalize, static_cast<float>(scale));
  });
}

void CudaKernels::router_entropy(const Tensor& entropy_1, const Tensor& probs_NE, bool normalize) {
  const int64_t N = probs_NE.size(0), count = normalize ? N : probs_NE.count();
  const Partials sums = partials(1, sum_blocks(count));
  if (normalize)
    partial_sums<1>(stream_, sums.data, sums.rows, ShareEntropyTerms{probs_NE.as<float>(), probs_NE.size(1)}, count);
  else
    partial_sums<1>(stream_, sums.data, sums.rows, EntropyTerms{probs_NE.as<float>()}, count);
  finish_sum(stream_, entropy_1.as<float>(), sums.data, sums.rows, 1.0f / static_cast<float>(N), Total::assign);
}

}  // namespace gptmoe::cuda
