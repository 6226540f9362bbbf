#include "kernels/cuda/common.cuh"
#include "kernels/cuda/cuda_kernels.h"

// One thread per element, which moves 12 bytes for a few operations.

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void drop_choices_kernel(int32_t* kept_ids, float* gates, const int32_t* expert_ids, int64_t count,
                                    int64_t K, int64_t live) {
  const int64_t slot = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (slot >= count) return;
  const bool kept = slot % K < live;
  kept_ids[slot] = kept ? expert_ids[slot] : -1;
  if (!kept) gates[slot] = 0;
}

__global__ void sigmoid_forward_kernel(float* probs, const float* logits, int64_t count) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at < count) probs[at] = 1.0f / (1.0f + expf(-logits[at]));
}

__global__ void sigmoid_backward_kernel(float* dlogits, const float* dprobs, const float* probs, int64_t count) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at < count) dlogits[at] = dprobs[at] * probs[at] * (1.0f - probs[at]);
}

}  // namespace

void CudaKernels::drop_choices(const Tensor& kept_ids_NK, const Tensor& gates_NK, const Tensor& expert_ids_NK,
                               int64_t live) {
  const int64_t N = expert_ids_NK.size(0), K = expert_ids_NK.size(1);
  GPTMOE_LAUNCH(drop_choices_kernel, blocks_for(N * K, kThreads), kThreads, 0, stream_, kept_ids_NK.as<int32_t>(),
                gates_NK.as<float>(), expert_ids_NK.as<int32_t>(), N * K, K, live);
}

void CudaKernels::sigmoid_router_forward(const Tensor& probs_NE, const Tensor& logits_NE) {
  GPTMOE_LAUNCH(sigmoid_forward_kernel, blocks_for(logits_NE.count(), kThreads), kThreads, 0, stream_,
                probs_NE.as<float>(), logits_NE.as<float>(), logits_NE.count());
}

void CudaKernels::sigmoid_router_backward(const Tensor& dlogits_NE, const Tensor& dprobs_NE, const Tensor& probs_NE) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1);
  GPTMOE_LAUNCH(sigmoid_backward_kernel, blocks_for(N * E, kThreads), kThreads, 0, stream_, dlogits_NE.as<float>(),
                dprobs_NE.as<float>(), probs_NE.as<float>(), N * E);
}

}  // namespace gptmoe::cuda
