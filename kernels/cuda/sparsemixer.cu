// The forward runs one thread per token. A token has only K E shares, and one thread adds them in the CPU's order.
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/philox.cuh"
#include "kernels/draws.h"

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 128;

__device__ bool chosen(const int32_t* ids, int count, int expert) {
  for (int k = 0; k < count; ++k)
    if (ids[k] == expert) return true;
  return false;
}

// Sets `shares` to one round's probabilities (p in docs/mathematics.md), given the `count` experts already chosen.
// Returns the expert with the largest share.
__device__ int round_shares(float* shares, const float* logits, const int32_t* ids, int count, int E, float threshold) {
  int best = -1;
  for (int e = 0; e < E; ++e)
    if (!chosen(ids, count, e) && (best < 0 || logits[e] > logits[best])) best = e;
  const float top = logits[best];
  float sum = 0;
  for (int e = 0; e < E; ++e) {
    const float reach = 2 * threshold * fmaxf(fabsf(logits[e]), top);
    const bool kept = !chosen(ids, count, e) && !(top - logits[e] > reach);
    sum += shares[e] = kept ? expf(logits[e] - top) : 0.0f;
  }
  for (int e = 0; e < E; ++e) shares[e] /= sum;
  return best;
}

// Returns the expert at which the running sum of shares passes `uniform`. If rounding keeps the sum below `uniform`,
// returns the last expert with a share; if no expert has a share, `otherwise`.
__device__ int expert_at(const float* shares, int E, float uniform, int otherwise) {
  float through = 0;
  for (int e = 0; e < E; ++e) {
    if (!(shares[e] > 0)) continue;
    otherwise = e;
    through += shares[e];
    if (uniform < through) break;
  }
  return otherwise;
}

struct MixerShape {
  int64_t N;
  int K, E;
};

__global__ void sparsemixer_forward_kernel(int32_t* expert_ids, float* gates, float* shares, const float* logits,
                                           const int64_t* sampler, int64_t first, MixerShape shape, float threshold) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (n >= shape.N) return;
  int32_t* ids = expert_ids + n * shape.K;
  for (int k = 0; k < shape.K; ++k) {
    float* p = shares + (n * shape.K + k) * shape.E;
    const int best = round_shares(p, logits + n * shape.E, ids, k, shape.E, threshold);
    int expert = best;
    float scale = 1;
    if (sampler) {
      const auto words = philox(static_cast<uint64_t>(sampler[1] + first + n), static_cast<uint32_t>(k),
                                static_cast<uint64_t>(sampler[0]));
      const Draws draws = draws_from(words.first, words.second);
      expert = expert_at(p, shape.E, draws.uniform, best);
      if (expert != best && !draws.one_in_four) scale = 1.0f / 3;
    }
    ids[k] = expert;
    gates[n * shape.K + k] = scale * p[expert];
  }
}

__global__ void sparsemixer_backward_kernel(float* dlogits, const float* dgates, const int32_t* expert_ids,
                                            const float* shares, MixerShape shape) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x, n = at / shape.E;
  if (n >= shape.N) return;
  const int e = static_cast<int>(at % shape.E);
  float sum = dlogits[at];
  for (int64_t slot = n * shape.K; slot < (n + 1) * shape.K; ++slot) {
    const float* p = shares + slot * shape.E;
    const float factor = dgates[slot] * p[expert_ids[slot]];
    sum += expert_ids[slot] == e ? factor - factor * p[e] : -factor * p[e];
  }
  dlogits[at] = sum;
}

__global__ void sampler_advance_kernel(int64_t* sampler, int64_t by) {
  if (threadIdx.x == 0) sampler[1] += by;
}

}  // namespace

void CudaKernels::sparsemixer_forward(const Tensor& expert_ids_NK, const Tensor& gates_NK, const Tensor& shares_NKE,
                                      const Tensor& logits_NE, double threshold, const Tensor& sampler_2,
                                      int64_t first) {
  const int64_t N = logits_NE.size(0), E = logits_NE.size(1), K = expert_ids_NK.size(1);
  GPTMOE_LAUNCH(sparsemixer_forward_kernel, blocks_for(N, kThreads), kThreads, 0, stream_, expert_ids_NK.as<int32_t>(),
                gates_NK.as<float>(), shares_NKE.as<float>(), logits_NE.as<float>(),
                sampler_2.present() ? sampler_2.as<int64_t>() : nullptr, first,
                MixerShape{N, static_cast<int>(K), static_cast<int>(E)}, static_cast<float>(threshold));
}

void CudaKernels::sparsemixer_backward(const Tensor& dlogits_NE, const Tensor& dgates_NK, const Tensor& expert_ids_NK,
                                       const Tensor& shares_NKE) {
  const int64_t N = dlogits_NE.size(0), E = dlogits_NE.size(1), K = expert_ids_NK.size(1);
  GPTMOE_LAUNCH(sparsemixer_backward_kernel, blocks_for(N * E, kThreads), kThreads, 0, stream_, dlogits_NE.as<float>(),
                dgates_NK.as<float>(), expert_ids_NK.as<int32_t>(), shares_NKE.as<float>(),
                MixerShape{N, static_cast<int>(K), static_cast<int>(E)});
}

void CudaKernels::sampler_advance(const Tensor& sampler_2, int64_t by) {
  GPTMOE_LAUNCH(sampler_advance_kernel, 1, kWarp, 0, stream_, sampler_2.as<int64_t>(), by);
}

}  // namespace gptmoe::cuda
