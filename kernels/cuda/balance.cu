#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/sums.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void expert_fractions_kernel(float* fractions, const int64_t* offsets, int64_t E, int64_t rows) {
  const int64_t e = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (e < E) fractions[e] = static_cast<float>(offsets[e + 1] - offsets[e]) / static_cast<float>(rows);
}

// One block: every thread reads the count before one thread raises it.
__global__ void mean_fractions_kernel(float* mean, float* sums, const float* fractions, int64_t E) {
  const float count = sums[E] + 1;
  __syncthreads();
  if (threadIdx.x == 0) sums[E] = count;
  for (int64_t e = threadIdx.x; e < E; e += kThreads) {
    const float sum = sums[e] + fractions[e];
    sums[e] = sum;
    mean[e] = sum / count;
  }
}

struct BalanceTerms {
  const float *probs, *fractions;
  int64_t E;
  template <int N>
  __device__ float term(int64_t at) const {
    return probs[at] * fractions[at % E];
  }
};

__global__ void load_balance_backward_kernel(float* dprobs, const float* fractions, const float* coefficient,
                                             int64_t count, int64_t E, float factor) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (coefficient) factor *= *coefficient;
  if (at < count) dprobs[at] += factor * fractions[at % E];
}

__global__ void load_accumulate_kernel(float* loads, const int64_t* offsets, int64_t E) {
  const int64_t e = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (e < E) loads[e] += static_cast<float>(offsets[e + 1] - offsets[e]);
}

// One block: every thread reads the loads, which are whole numbers, before any is cleared.
__global__ void bias_commit_kernel(float* bias, float* loads, int64_t E, float step) {
  int64_t total = 0;
  for (int64_t e = 0; e < E; ++e) total += static_cast<int64_t>(loads[e]);
  __syncthreads();
  for (int64_t e = threadIdx.x; e < E; e += kThreads) {
    const int64_t lack = total - E * static_cast<int64_t>(loads[e]);
    if (lack != 0) bias[e] += lack > 0 ? step : -step;
    loads[e] = 0;
  }
}

__global__ void z_loss_backward_kernel(float* dlogits, const float* probs, const float* lse, int64_t count, int64_t E,
                                       float factor) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at < count) dlogits[at] += factor * lse[at / E] * probs[at];
}

}  // namespace

void CudaKernels::expert_fractions(const Tensor& fractions_E, const Tensor& offsets_E1, int64_t rows) {
  const int64_t E = fractions_E.count();
  GPTMOE_LAUNCH(expert_fractions_kernel, blocks_for(E, kThreads), kThreads, 0, stream_, fractions_E.as<float>(),
                offsets_E1.as<int64_t>(), E, rows);
}

void CudaKernels::mean_fractions(const Tensor& mean_E, const Tensor& sums_E1, const Tensor& fractions_E) {
  const int64_t E = fractions_E.count();
  GPTMOE_LAUNCH(mean_fractions_kernel, 1, kThreads, 0, stream_, mean_E.as<float>(), sums_E1.as<float>(),
                fractions_E.as<float>(), E);
}

void CudaKernels::load_balance_forward(const Tensor& loss_1, const Tensor& probs_NE, const Tensor& fractions_E) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1);
  const Partials sums = partials(1, sum_blocks(N * E));
  partial_sums<1>(stream_, sums.data, sums.rows, BalanceTerms{probs_NE.as<float>(), fractions_E.as<float>(), E}, N * E);
  finish_sum(stream_, loss_1.as<float>(), sums.data, sums.rows, static_cast<float>(E) / static_cast<float>(N),
             Total::assign);
}

void CudaKernels::load_balance_backward(const Tensor& dprobs_NE, const Tensor& fractions_E, double scale,
                                        const Tensor& coefficient_1) {
  const int64_t N = dprobs_NE.size(0), E = dprobs_NE.size(1);
  const auto factor = static_cast<float>(scale * static_cast<double>(E) / static_cast<double>(N));
  GPTMOE_LAUNCH(load_balance_backward_kernel, blocks_for(N * E, kThreads), kThreads, 0, stream_, dprobs_NE.as<float>(),
                fractions_E.as<float>(), coefficient_1.present() ? coefficient_1.as<float>() : nullptr, N * E, E,
                factor);
}

void CudaKernels::load_accumulate(const Tensor& loads_E, const Tensor& offsets_E1) {
  const int64_t E = loads_E.count();
  GPTMOE_LAUNCH(load_accumulate_kernel, blocks_for(E, kThreads), kThreads, 0, stream_, loads_E.as<float>(),
                offsets_E1.as<int64_t>(), E);
}

void CudaKernels::bias_commit(const Tensor& bias_E, const Tensor& loads_E, double rate) {
  const int64_t E = bias_E.count();
  GPTMOE_LAUNCH(bias_commit_kernel, 1, kThreads, 0, stream_, bias_E.as<float>(), loads_E.as<float>(), E,
                static_cast<float>(rate));
}

void CudaKernels::z_loss_forward(const Tensor& loss_1, const Tensor& lse_N) {
  const int64_t N = lse_N.count();
  const Partials sums = partials(1, sum_blocks(N));
  partial_sums<1>(stream_, sums.data, sums.rows, SquareTerms<float>{lse_N.as<float>()}, N);
  finish_sum(stream_, loss_1.as<float>(), sums.data, sums.rows, 1.0f / static_cast<float>(N), Total::assign);
}

void CudaKernels::z_loss_backward(const Tensor& dlogits_NE, const Tensor& probs_NE, const Tensor& lse_N, double scale) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1);
  GPTMOE_LAUNCH(z_loss_backward_kernel, blocks_for(N * E, kThreads), kThreads, 0, stream_, dlogits_NE.as<float>(),
                probs_NE.as<float>(), lse_N.as<float>(), N * E, E,
                static_cast<float>(2 * scale / static_cast<double>(N)));
}

}  // namespace gptmoe::cuda
