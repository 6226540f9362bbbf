#include <cfloat>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/cuda_kernels.h"

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void relu_forward_kernel(float* probs, int32_t* expert_ids, const float* logits, int64_t count, int64_t E) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const bool dead = logits[at] <= 0;  // a slot with NaN stays live, so that the NaN is noticed
  probs[at] = dead ? 0.0f : logits[at];
  expert_ids[at] = dead ? -1 : static_cast<int32_t>(at % E);
}

__global__ void relu_backward_kernel(float* dlogits, const float* dprobs, const float* probs, int64_t count) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at < count) dlogits[at] = probs[at] == 0 ? 0.0f : dprobs[at];
}

// One thread does the work.
__global__ void excess_accumulate_kernel(float* excess, const int64_t* live, int64_t target) {
  if (threadIdx.x == 0) *excess += static_cast<float>(*live - target);
}

__global__ void l1_commit_kernel(float* coefficient, float* excess, float factor) {
  if (threadIdx.x != 0) return;
  if (*excess > 0) *coefficient = fminf(*coefficient * factor, FLT_MAX);
  if (*excess < 0) *coefficient = fmaxf(*coefficient / factor, FLT_MIN);
  *excess = 0;
}

}  // namespace

void CudaKernels::relu_router_forward(const Tensor& probs_NE, const Tensor& expert_ids_NE, const Tensor& logits_NE) {
  const int64_t N = logits_NE.size(0), E = logits_NE.size(1);
  GPTMOE_LAUNCH(relu_forward_kernel, blocks_for(N * E, kThreads), kThreads, 0, stream_, probs_NE.as<float>(),
                expert_ids_NE.as<int32_t>(), logits_NE.as<float>(), N * E, E);
}

void CudaKernels::relu_router_backward(const Tensor& dlogits_NE, const Tensor& dprobs_NE, const Tensor& probs_NE) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1);
  GPTMOE_LAUNCH(relu_backward_kernel, blocks_for(N * E, kThreads), kThreads, 0, stream_, dlogits_NE.as<float>(),
                dprobs_NE.as<float>(), probs_NE.as<float>(), N * E);
}

void CudaKernels::excess_accumulate(const Tensor& excess_1, const Tensor& offsets_E1, int64_t target) {
  GPTMOE_LAUNCH(excess_accumulate_kernel, 1, kWarp, 0, stream_, excess_1.as<float>(),
                offsets_E1.as<int64_t>() + offsets_E1.count() - 1, target);
}

void CudaKernels::l1_commit(const Tensor& coefficient_1, const Tensor& excess_1, double factor) {
  GPTMOE_LAUNCH(l1_commit_kernel, 1, kWarp, 0, stream_, coefficient_1.as<float>(), excess_1.as<float>(),
                static_cast<float>(factor));
}

}  // namespace gptmoe::cuda
