#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/sums.cuh"

// What Muon computes element by element. Its matrix products are linear and grouped linear ops, like those of the
// layers. All kernels here are bound by memory.

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 256;

// The index of the first element of this thread's pack.
template <int N>
__device__ int64_t pack_start() {
  return (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) * N;
}

template <typename T, int N>
__global__ void momentum_kernel(T* u, float* m, const float* grad, const float* scale_1, float momentum,
                                int64_t count) {
  const int64_t at = pack_start<N>();
  const float scale = *scale_1;
  if (at >= count) return;
  Pack<T, N> out;
  if (scale != scale) {
    for (int i = 0; i < N; ++i) out.set(i, 0.0f);
    return out.store(u + at);
  }
  const auto gradient = Pack<float, N>::load(grad + at);
  auto mean = Pack<float, N>::load(m + at);
  for (int i = 0; i < N; ++i) {
    const float g = scale * gradient[i];
    mean.set(i, momentum * mean[i] + g);
    out.set(i, g + momentum * mean[i]);
  }
  mean.store(m + at);
  out.store(u + at);
}

// Each matrix has `blocks` blocks. A block sums the squares of its share.
template <typename T, int N>
__global__ void matrix_norms_kernel(float* partials, const T* u, int64_t size, int64_t blocks) {
  const T* matrix = u + blockIdx.x / blocks * size;
  float sum = 0;
  for (int64_t at = (blockIdx.x % blocks * kThreads + threadIdx.x) * N; at < size; at += blocks * kThreads * N) {
    const auto pack = Pack<T, N>::load(matrix + at);
    for (int i = 0; i < N; ++i) sum += pack[i] * pack[i];
  }
  sum = block_sum(sum, shared_memory<float>());
  if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

// Every block adds up its matrix's partial sums, in the same order.
template <typename T, int N>
__global__ void matrix_normalize_kernel(T* x, const T* u, const float* partials, int64_t size, int64_t blocks) {
  const int64_t matrix = blockIdx.x / blocks;
  float sum = 0;
  for (int64_t r = threadIdx.x; r < blocks; r += kThreads) sum += partials[matrix * blocks + r];
  sum = block_sum(sum, shared_memory<float>());
  const float factor = 1 / (sqrtf(sum) + 1e-7f);
  for (int64_t at = (blockIdx.x % blocks * kThreads + threadIdx.x) * N; at < size; at += blocks * kThreads * N) {
    const auto pack = Pack<T, N>::load(u + matrix * size + at);
    Pack<T, N> out;
    for (int i = 0; i < N; ++i) out.set(i, factor * pack[i]);
    out.store_whole(x + matrix * size + at);
  }
}

template <typename T, int N>
__global__ void weighted_sum_kernel(T* y, const T* a, const T* b, float alpha, float beta, int64_t count) {
  const int64_t at = pack_start<N>();
  if (at >= count) return;
  const auto left = Pack<T, N>::load(a + at), right = Pack<T, N>::load(b + at);
  Pack<T, N> sum;
  for (int i = 0; i < N; ++i) sum.set(i, alpha * left[i] + beta * right[i]);
  sum.store(y + at);
}

// Without a master, `master` is the f32 param itself and `param` is null. T: param's type; U: update's type.
template <typename T, typename U, int N>
__global__ void update_kernel(T* param, float* master, const U* update, const float* scale_1, const float* rates_3,
                              float step, float weight_decay, int64_t count) {
  const int64_t at = pack_start<N>();
  const float scale = *scale_1, rate = rates_3[0];
  if (at >= count || scale != scale) return;
  auto value = Pack<float, N>::load(master + at);
  const auto change = Pack<U, N>::load(update + at);
  const float steps = rate * step, decay = rate * weight_decay;
  for (int i = 0; i < N; ++i) value.set(i, value[i] - (steps * change[i] + decay * value[i]));
  value.store(master + at);
  if (!param) return;
  Pack<T, N> rounded;
  for (int i = 0; i < N; ++i) rounded.set(i, value[i]);
  rounded.store(param + at);
}

}  // namespace

void CudaKernels::muon_momentum(const Tensor& u, const Tensor& m, const Tensor& grad, const Tensor& scale_1,
                                double momentum) {
  with_real(u, [&]<typename T>(T*) {
    with_pack<float>(
        u.count(),
        [&]<int N>(std::integral_constant<int, N>) {
          GPTMOE_LAUNCH((momentum_kernel<T, N>), blocks_for(u.count() / N, kThreads), kThreads, 0, stream_, u.as<T>(),
                        m.as<float>(), grad.as<float>(), scale_1.as<float>(), static_cast<float>(momentum), u.count());
        },
        u.as<T>(), m.as<float>(), grad.as<float>());
  });
}

void CudaKernels::matrix_normalize(const Tensor& x_EOI, const Tensor& u_EOI) {
  const int64_t E = u_EOI.size(0), size = u_EOI.row_count();
  if (u_EOI.count() == 0) return;
  const Partials sums = partials(E, sum_blocks(size));
  with_real(x_EOI, [&]<typename T>(T*) {
    with_pack<T>(
        size,
        [&]<int N>(std::integral_constant<int, N>) {
          const auto grid = static_cast<unsigned>(E * sums.rows);
          constexpr size_t kShared = kMaxWarps * sizeof(float);
          GPTMOE_LAUNCH((matrix_norms_kernel<T, N>), grid, kThreads, kShared, stream_, sums.data, u_EOI.as<T>(), size,
                        sums.rows);
          GPTMOE_LAUNCH((matrix_normalize_kernel<T, N>), grid, kThreads, kShared, stream_, x_EOI.as<T>(), u_EOI.as<T>(),
                        sums.data, size, sums.rows);
        },
        x_EOI.as<T>(), u_EOI.as<T>());
  });
}

void CudaKernels::weighted_sum(const Tensor& y, const Tensor& a, const Tensor& b, double alpha, double beta) {
  with_real(y, [&]<typename T>(T*) {
    with_pack<T>(
        y.count(),
        [&]<int N>(std::integral_constant<int, N>) {
          GPTMOE_LAUNCH((weighted_sum_kernel<T, N>), blocks_for(y.count() / N, kThreads), kThreads, 0, stream_,
                        y.as<T>(), a.as<T>(), b.as<T>(), static_cast<float>(alpha), static_cast<float>(beta),
                        y.count());
        },
        y.as<T>(), a.as<T>(), b.as<T>());
  });
}

void CudaKernels::muon_update(const Tensor& param, const Tensor& master, const Tensor& update, const Tensor& scale_1,
                              const Tensor& rates_3, double step, double weight_decay) {
  const int64_t count = param.count();
  with_real(param, [&]<typename T>(T*) {
    with_real(update, [&]<typename U>(U*) {
      T* const params = master.present() ? param.as<T>() : nullptr;
      float* const masters = master.present() ? master.as<float>() : param.as<float>();
      with_pack<float>(
          count,
          [&]<int N>(std::integral_constant<int, N>) {
            GPTMOE_LAUNCH((update_kernel<T, U, N>), blocks_for(count / N, kThreads), kThreads, 0, stream_, params,
                          masters, update.as<U>(), scale_1.as<float>(), rates_3.as<float>(), static_cast<float>(step),
                          static_cast<float>(weight_decay), count);
          },
          params, masters, update.as<U>());
    });
  });
}

}  // namespace gptmoe::cuda
