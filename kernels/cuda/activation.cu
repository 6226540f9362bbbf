#include "kernels/cuda/common.cuh"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/swiglu.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 256;

// The index of this thread's pack among all packs.
__device__ int64_t pack_index() { return static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; }

template <typename T, int N>
__global__ void residual_kernel(T* y, const T* a, const T* b, int64_t packs) {
  const int64_t at = pack_index();
  if (at >= packs) return;
  const auto left = Pack<T, N>::load(a + at * N), right = Pack<T, N>::load(b + at * N);
  Pack<T, N> sum;
  for (int i = 0; i < N; ++i) sum.set(i, left[i] + right[i]);
  sum.store(y + at * N);
}

template <typename T, int N>
__global__ void swiglu_forward_kernel(T* a_RF, const T* h_R2F, int64_t F, int64_t packs) {
  const int64_t at = pack_index();
  if (at >= packs) return;
  const int64_t r = at * N / F, f = at * N % F;
  const auto gate = Pack<T, N>::load(h_R2F + r * 2 * F + f), up = Pack<T, N>::load(h_R2F + r * 2 * F + F + f);
  Pack<T, N> a;
  for (int i = 0; i < N; ++i) a.set(i, swiglu<T>(gate[i], up[i]));
  a.store(a_RF + at * N);
}

// dh may alias h: each thread reads exactly what it overwrites.
template <typename T, int N>
__global__ void swiglu_backward_kernel(T* dh_R2F, const T* da_RF, const T* h_R2F, int64_t F, int64_t packs) {
  const int64_t at = pack_index();
  if (at >= packs) return;
  const int64_t r = at * N / F, f = at * N % F, gate_at = r * 2 * F + f, up_at = gate_at + F;
  const auto gate = Pack<T, N>::load(h_R2F + gate_at), up = Pack<T, N>::load(h_R2F + up_at);
  const auto da = Pack<T, N>::load(da_RF + at * N);
  Pack<T, N> dgate, dup;
  for (int i = 0; i < N; ++i) {
    const SwigluGradient dh = swiglu_gradient<T>(da[i], gate[i], up[i]);
    dgate.set(i, dh.gate);
    dup.set(i, dh.up);
  }
  dgate.store(dh_R2F + gate_at);
  dup.store(dh_R2F + up_at);
}

// gelu(x) = x * sigmoid(z) with z = 2 sqrt(2/pi) (x + 0.044715 x^3).
constexpr float kSlope = 1.5957691216057308f, kCubic = 0.044715f;

template <typename T, int N>
__global__ void gelu_forward_kernel(T* a, const T* h, int64_t packs) {
  const int64_t at = pack_index();
  if (at >= packs) return;
  const auto x = Pack<T, N>::load(h + at * N);
  Pack<T, N> y;
  for (int i = 0; i < N; ++i) y.set(i, x[i] * sigmoid<T>(kSlope * x[i] * (1.0f + kCubic * x[i] * x[i])).value);
  y.store(a + at * N);
}

template <typename T, int N>
__global__ void gelu_backward_kernel(T* dh, const T* da, const T* h, int64_t packs) {
  const int64_t at = pack_index();
  if (at >= packs) return;
  const auto x = Pack<T, N>::load(h + at * N), dy = Pack<T, N>::load(da + at * N);
  Pack<T, N> dx;
  for (int i = 0; i < N; ++i) {
    const Sigmoid s = sigmoid<T>(kSlope * x[i] * (1.0f + kCubic * x[i] * x[i]));
    const float dz = kSlope * (1.0f + 3.0f * kCubic * x[i] * x[i]);
    dx.set(i, dy[i] * s.value * (1.0f + x[i] * dz * s.complement));
  }
  dx.store(dh + at * N);
}

}  // namespace

void CudaKernels::residual_forward(const Tensor& y, const Tensor& a, const Tensor& b) {
  const int64_t count = y.count();
  with_real(y, [&]<typename T>(T*) {
    T* out = y.as<T>();
    const T *left = a.as<T>(), *right = b.as<T>();
    with_pack<T>(
        count,
        [&]<int N>(std::integral_constant<int, N>) {
          GPTMOE_LAUNCH((residual_kernel<T, N>), blocks_for(count / N, kThreads), kThreads, 0, stream_, out, left,
                        right, count / N);
        },
        out, left, right);
  });
}

void CudaKernels::swiglu_forward(const Tensor& a_RF, const Tensor& h_R2F) {
  const int64_t R = a_RF.size(0), F = a_RF.size(1);
  with_real(a_RF, [&]<typename T>(T*) {
    T* a = a_RF.as<T>();
    const T* h = h_R2F.as<T>();
    with_pack<T>(
        F,
        [&]<int N>(std::integral_constant<int, N>) {
          const int64_t packs = R * F / N;
          GPTMOE_LAUNCH((swiglu_forward_kernel<T, N>), blocks_for(packs, kThreads), kThreads, 0, stream_, a, h, F,
                        packs);
        },
        a, h);
  });
}

void CudaKernels::swiglu_backward(const Tensor& dh_R2F, const Tensor& da_RF, const Tensor& h_R2F) {
  const int64_t R = da_RF.size(0), F = da_RF.size(1);
  with_real(da_RF, [&]<typename T>(T*) {
    T* dh = dh_R2F.as<T>();
    const T *da = da_RF.as<T>(), *h = h_R2F.as<T>();
    with_pack<T>(
        F,
        [&]<int N>(std::integral_constant<int, N>) {
          const int64_t packs = R * F / N;
          GPTMOE_LAUNCH((swiglu_backward_kernel<T, N>), blocks_for(packs, kThreads), kThreads, 0, stream_, dh, da, h, F,
                        packs);
        },
        dh, da, h);
  });
}

void CudaKernels::gelu_forward(const Tensor& a_RF, const Tensor& h_RF) {
  const int64_t count = a_RF.count();
  with_real(a_RF, [&]<typename T>(T*) {
    T* a = a_RF.as<T>();
    const T* h = h_RF.as<T>();
    with_pack<T>(
        count,
        [&]<int N>(std::integral_constant<int, N>) {
          GPTMOE_LAUNCH((gelu_forward_kernel<T, N>), blocks_for(count / N, kThreads), kThreads, 0, stream_, a, h,
                        count / N);
        },
        a, h);
  });
}

void CudaKernels::gelu_backward(const Tensor& dh_RF, const Tensor& da_RF, const Tensor& h_RF) {
  const int64_t count = dh_RF.count();
  with_real(dh_RF, [&]<typename T>(T*) {
    T* dh = dh_RF.as<T>();
    const T *da = da_RF.as<T>(), *h = h_RF.as<T>();
    with_pack<T>(
        count,
        [&]<int N>(std::integral_constant<int, N>) {
          GPTMOE_LAUNCH((gelu_backward_kernel<T, N>), blocks_for(count / N, kThreads), kThreads, 0, stream_, dh, da, h,
                        count / N);
        },
        dh, da, h);
  });
}

}  // namespace gptmoe::cuda
