// The LM head with cross-entropy, M rows of logits at a time. One matrix product writes the logits. One kernel computes
// the losses and overwrites the logits with their gradient. Two matrix products propagate the gradient to x and w.
//
// At the paper's V = 128,256 and C = 1024 the three products are 0.79 GFLOP per token, 13 TFLOP for 16k tokens (16 ms
// at 800 TFLOP/s); the kernel reads and writes 2 bytes per logit, 8.4 GB for 16k tokens (2.0 ms at 4.3 TB/s).
#include <algorithm>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/matmul.h"

namespace gptmoe::cuda {
namespace {

constexpr int kMaxThreads = 1024;

// A running maximum and the sum of e^(x - maximum) so far (Milakov & Gimelshein 2018).
struct OnlineSum {
  float max = -INFINITY, sum = 0;

  template <typename T, int N>
  __device__ void add(const Pack<T, N>& x) {
    float largest = max;
    for (int i = 0; i < N; ++i) largest = fmaxf(largest, x[i]);
    sum *= __expf(max - largest);
    for (int i = 0; i < N; ++i) sum += __expf(x[i] - largest);
    max = largest;
  }
};

__device__ float max_of_block(float x, float* shared) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  x = warp_max(x);
  if (lane == 0) shared[warp] = x;
  __syncthreads();
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  x = warp_max(lane < warps ? shared[lane] : -INFINITY);
  __syncthreads();
  return x;
}

// losses[n] = logsumexp(row) - row[target]; with kBackward, also row = (softmax(row) - onehot(target)) * scale. One
// block per row. The second pass walks backwards, since what the first one read last is most likely still in cache.
template <typename T, int N, bool kBackward>
__global__ void __launch_bounds__(kMaxThreads)
    cross_entropy_kernel(float* losses, T* logits_MV, const int32_t* targets, int64_t V, float scale) {
  auto* shared = shared_memory<float>();
  T* row = logits_MV + static_cast<int64_t>(blockIdx.x) * V;
  const int64_t packs = V / N;
  const auto thread = static_cast<int64_t>(threadIdx.x), threads = static_cast<int64_t>(blockDim.x);
  OnlineSum own;
  for (int64_t at = thread; at < packs; at += threads) own.add(Pack<T, N>::load(row + at * N));
  const float max = max_of_block(own.max, shared);
  const float sum = block_sum(own.sum * __expf(own.max - max), shared);
  const int32_t target = targets[blockIdx.x];
  if (thread == 0) losses[blockIdx.x] = max + logf(sum) - to_float(row[target]);
  if constexpr (kBackward) {
    __syncthreads();  // the target's logit has been read
    const float factor = scale / sum;
    const int64_t target_pack = target / N;
    const int target_element = static_cast<int>(target % N);
    for (int64_t at = (packs - 1) / threads * threads + thread; at >= 0; at -= threads) {
      if (at >= packs) continue;
      auto x = Pack<T, N>::load(row + at * N);
      for (int i = 0; i < N; ++i) {
        const float p = __expf(x[i] - max) * factor;
        x.set(i, at == target_pack && i == target_element ? p - scale : p);
      }
      x.store(row + at * N);
    }
  }
}

// Enough threads that each takes about four packs if the row is short.
int threads_for(int64_t packs) {
  const int64_t wanted = ceil_div(packs, 4);
  return static_cast<int>(std::min<int64_t>(kMaxThreads, ceil_div(wanted, kWarp) * kWarp));
}

template <bool kBackward>
void cross_entropy(cudaStream_t stream, float* losses, const Tensor& logits_MV, const int32_t* targets, float scale) {
  const int64_t rows = logits_MV.size(0), V = logits_MV.size(1);
  with_real(logits_MV, [&]<typename T>(T*) {
    T* logits = logits_MV.as<T>();
    with_pack<T>(
        V,
        [&]<int N>(std::integral_constant<int, N>) {
          GPTMOE_LAUNCH((cross_entropy_kernel<T, N, kBackward>), static_cast<unsigned>(rows), threads_for(V / N),
                        kMaxWarps * sizeof(float), stream, losses, logits, targets, V, scale);
        },
        logits);
  });
}

}  // namespace

void CudaKernels::lm_head_loss(const Tensor& losses_N, const Tensor& dx_NC, const Tensor& dw_VC, const Tensor& x_NC,
                               const Tensor& w_VC, const Tensor& targets_N, double loss_scale,
                               const Tensor& logits_MV) {
  const int64_t N = x_NC.size(0), M = logits_MV.size(0);
  const bool backward = dx_NC.present();
  float* losses = losses_N.as<float>();
  const int32_t* targets = targets_N.as<int32_t>();
  const auto scale = static_cast<float>(loss_scale);
  for (int64_t first = 0; first < N; first += M) {
    const int64_t rows = std::min(M, N - first);
    const Tensor x = x_NC.rows(first, rows), logits = logits_MV.rows(0, rows);
    matmul_->run(Order::nt, logits, x, w_VC, Write::assign);
    if (!backward) {
      cross_entropy<false>(stream_, losses + first, logits, targets + first, scale);
      continue;
    }
    cross_entropy<true>(stream_, losses + first, logits, targets + first, scale);
    matmul_->run(Order::nn, dx_NC.rows(first, rows), logits, w_VC, Write::assign);
    matmul_->run(Order::tn, dw_VC, logits, x, Write::add);
  }
}

}  // namespace gptmoe::cuda
