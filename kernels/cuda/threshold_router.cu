#include "kernels/cuda/common.cuh"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/warps.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 256, kCountThreads = 1024;
constexpr float kRange = 16;  // bins cover [-kRange, kRange)

__global__ void choose_above_kernel(int32_t* expert_ids, const float* logits, const float* thresholds, int64_t count,
                                    int64_t E) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= count) return;
  const bool dead = logits[at] <= thresholds[at % E];  // a slot with NaN stays live, so that the NaN is noticed
  expert_ids[at] = dead ? -1 : static_cast<int32_t>(at % E);
}

// The bin of a logit. x * (W / 32) is exact, so every precision finds the same bin.
__device__ int bin_of(float x, int W) {
  if (!(x >= -kRange)) return 0;
  if (x >= kRange) return W - 1;
  return static_cast<int>(floorf(x * (static_cast<float>(W) / (2 * kRange)))) + W / 2;
}

// One block per expert counts in shared memory: W counters.
__global__ void __launch_bounds__(kCountThreads)
    logit_counts_kernel(float* counts, const float* logits, int64_t N, int64_t E, int W) {
  auto* bins = shared_memory<unsigned>();
  const int64_t e = blockIdx.x;
  for (int w = static_cast<int>(threadIdx.x); w < W; w += kCountThreads) bins[w] = 0;
  __syncthreads();
  for (int64_t n = threadIdx.x; n < N; n += kCountThreads) atomicAdd(&bins[bin_of(logits[n * E + e], W)], 1u);
  __syncthreads();
  for (int w = static_cast<int>(threadIdx.x); w < W; w += kCountThreads)
    counts[e * W + w] += static_cast<float>(bins[w]);
}

// One warp per expert. A lane has W / 32 bins; lane 0 has the highest. The counts are whole numbers below 2^32.
__global__ void count_cutoffs_kernel(float* cutoffs, const float* counts_EW, int W, double share) {
  const int64_t e = blockIdx.x;
  const int lane = lane_index(), each = W / kWarp, highest = W - 1 - lane * each;
  const float* counts = counts_EW + e * W;
  unsigned own = 0;
  for (int i = 0; i < each; ++i) own += static_cast<unsigned>(counts[highest - i]);
  const unsigned through = warp_inclusive_scan(own), total = __shfl_sync(kAllLanes, through, kWarp - 1);
  const double wanted = share * static_cast<double>(total);
  // The lane whose bins reach `wanted`; the last lane in any case.
  const bool before = static_cast<double>(through - own) < wanted || lane == 0;
  if (!before || (static_cast<double>(through) < wanted && lane != kWarp - 1)) return;
  unsigned above = through - own;
  int w = highest;
  while (w > highest - each + 1 && static_cast<double>(above) + counts[w] < wanted)
    above += static_cast<unsigned>(counts[w--]);
  const double part = counts[w] > 0 ? fmin((wanted - above) / counts[w], 1.0) : 1.0;
  const float width = 2 * kRange / static_cast<float>(W);
  cutoffs[e] = -kRange + width * (static_cast<float>(w + 1) - static_cast<float>(part));
}

__global__ void pick_thresholds_kernel(float* used, const float* cutoffs, const float* thresholds, const float* steps,
                                       int64_t E, float warmup) {
  const int64_t e = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (e < E) used[e] = *steps < warmup ? cutoffs[e] : thresholds[e];
}

// There is one block, in which every thread reads the number of steps before one thread raises it.
__global__ void threshold_commit_kernel(float* thresholds, float* steps, const float* cutoffs, int64_t E,
                                        double decay) {
  const double done = *steps;
  __syncthreads();
  const auto weight = static_cast<float>((1 - decay) / (1 - pow(decay, done + 1)));
  for (int64_t e = threadIdx.x; e < E; e += kThreads) thresholds[e] += weight * (cutoffs[e] - thresholds[e]);
  if (threadIdx.x == 0) *steps = static_cast<float>(done) + 1;
}

}  // namespace

void CudaKernels::threshold_router_forward(const Tensor& expert_ids_NE, const Tensor& logits_NE,
                                           const Tensor& thresholds_E) {
  const int64_t count = logits_NE.count(), E = logits_NE.size(1);
  GPTMOE_LAUNCH(choose_above_kernel, blocks_for(count, kThreads), kThreads, 0, stream_, expert_ids_NE.as<int32_t>(),
                logits_NE.as<float>(), thresholds_E.as<float>(), count, E);
}

void CudaKernels::logit_counts(const Tensor& counts_EW, const Tensor& logits_NE) {
  const int64_t N = logits_NE.size(0), E = logits_NE.size(1), W = counts_EW.size(1);
  GPTMOE_LAUNCH(logit_counts_kernel, static_cast<unsigned>(E), kCountThreads, static_cast<size_t>(W) * sizeof(unsigned),
                stream_, counts_EW.as<float>(), logits_NE.as<float>(), N, E, static_cast<int>(W));
}

void CudaKernels::count_cutoffs(const Tensor& cutoffs_E, const Tensor& counts_EW, double share) {
  GPTMOE_LAUNCH(count_cutoffs_kernel, static_cast<unsigned>(counts_EW.size(0)), kWarp, 0, stream_,
                cutoffs_E.as<float>(), counts_EW.as<float>(), static_cast<int>(counts_EW.size(1)), share);
}

void CudaKernels::pick_thresholds(const Tensor& used_E, const Tensor& cutoffs_E, const Tensor& thresholds_E,
                                  const Tensor& steps_1, double warmup) {
  const int64_t E = used_E.count();
  GPTMOE_LAUNCH(pick_thresholds_kernel, blocks_for(E, kThreads), kThreads, 0, stream_, used_E.as<float>(),
                cutoffs_E.as<float>(), thresholds_E.as<float>(), steps_1.as<float>(), E, static_cast<float>(warmup));
}

void CudaKernels::threshold_commit(const Tensor& thresholds_E, const Tensor& steps_1, const Tensor& cutoffs_E,
                                   double decay) {
  GPTMOE_LAUNCH(threshold_commit_kernel, 1, kThreads, 0, stream_, thresholds_E.as<float>(), steps_1.as<float>(),
                cutoffs_E.as<float>(), thresholds_E.count(), decay);
}

}  // namespace gptmoe::cuda
