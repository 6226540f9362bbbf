// The ops of causal grouped-query attention. attention_mma_*.cu has the kernels for tensor cores, hopper/attention_*.cu
// those for the tensor cores of Hopper; attention_fma.cu has those for f32 and for head sizes that tensor cores do not
// support.
#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/hopper/attention.h"

namespace gptmoe::cuda {
namespace {

AttentionShape shape_of(const Tensor& out_BTHD, const Tensor& qkv_BTSD, const Tensor& starts_BT) {
  const int64_t B = qkv_BTSD.size(0), T = qkv_BTSD.size(1), S = qkv_BTSD.size(2), D = qkv_BTSD.size(3);
  const int64_t H = out_BTHD.size(2), G = (S - H) / 2;
  GPTMOE_CHECK(D <= kFmaMaxD, "attention heads of ", D, " on a GPU: at most ", kFmaMaxD);
  GPTMOE_CHECK(std::max(T, B * H) <= INT32_MAX / 2, qkv_BTSD.describe());
  AttentionShape s{};
  s.B = B;
  s.T = static_cast<int>(T), s.H = static_cast<int>(H), s.G = static_cast<int>(G), s.D = static_cast<int>(D);
  s.group = s.H / s.G;
  s.scale = 1.0f / std::sqrt(static_cast<float>(D));
  s.qkv_stride = S * D, s.out_stride = H * D;
  s.values = G * D;
  s.starts = starts_BT.present() ? starts_BT.as<int32_t>() : nullptr;
  return s;
}

template <typename... Pointers>
bool takes_mma(const AttentionShape& s, const Pointers*... tensors) {
  const bool aligned = (... && (reinterpret_cast<uintptr_t>(tensors) % 16 == 0));
  return s.D % kVector == 0 && s.D <= kMmaMaxD && aligned;
}

// delta[u][t] = <dout, out>. Rows are read in memory order, by kLanes lanes per row. Minimum traffic: both tensors are
// read once.
constexpr int kThreads = 256, kLanes = 8, kRowsPerBlock = kThreads / kLanes;

template <typename T, int N>
__global__ void attention_delta_kernel(AttentionShape s, float* delta, const T* dout, const T* out) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kRowsPerBlock + threadIdx.x / kLanes;
  const bool exists = row < s.B * s.T * s.H;
  const int lane = static_cast<int>(threadIdx.x) % kLanes;
  float sum = 0;
  for (int64_t d = lane * N; exists && d < s.D; d += kLanes * N) {
    const auto a = Pack<T, N>::load(dout + row * s.D + d), b = Pack<T, N>::load(out + row * s.D + d);
    for (int i = 0; i < N; ++i) sum += a[i] * b[i];
  }
  for (int bits = kLanes / 2; bits > 0; bits /= 2) sum += __shfl_xor_sync(kAllLanes, sum, bits);
  const int64_t n = row / s.H, h = row % s.H;
  if (exists && lane == 0) delta[(n / s.T * s.H + h) * s.T + n % s.T] = sum;
}

template <typename T>
void launch_delta(const AttentionShape& s, float* delta, const T* dout, const T* out, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(ceil_div(s.B * s.T * s.H, kRowsPerBlock));
  with_pack<T>(
      s.D,
      [&]<int N>(std::integral_constant<int, N>) {
        GPTMOE_LAUNCH((attention_delta_kernel<T, N>), blocks, kThreads, 0, stream, s, delta, dout, out);
      },
      dout, out);
}

}  // namespace

void CudaKernels::attention_forward(const Tensor& out_BTHD, const Tensor& lse_BHT, const Tensor& qkv_BTSD,
                                    const Tensor& starts_BT) {
  const AttentionShape s = shape_of(out_BTHD, qkv_BTSD, starts_BT);
  with_real(out_BTHD, [&]<typename T>(T*) {
    const AttentionForward<T> tensors{out_BTHD.as<T>(), lse_BHT.as<float>(), qkv_BTSD.as<T>()};
    if constexpr (std::is_same_v<T, bf16>)
      if (takes_mma(s, tensors.out, tensors.qkv)) {
        const bool on_hopper = hopper_ && hopper::takes_attention(s);
        return (on_hopper ? hopper::attention_forward : attention_mma_forward)(s, tensors, stream_);
      }
    attention_fma_forward(s, tensors, stream_);
  });
}

void CudaKernels::attention_backward(const Tensor& dqkv_BTSD, const Tensor& dout_BTHD, const Tensor& out_BTHD,
                                     const Tensor& lse_BHT, const Tensor& qkv_BTSD, const Tensor& starts_BT) {
  const AttentionShape whole = shape_of(out_BTHD, qkv_BTSD, starts_BT);
  // delta is in the workspace: T*H floats per sequence, for as many sequences at a time as fit.
  const Partials workspace = partials(int64_t{whole.T} * whole.H, whole.B);
  with_real(out_BTHD, [&]<typename T>(T*) {
    for (int64_t first = 0; first < whole.B; first += workspace.rows) {
      AttentionShape s = whole;
      s.B = std::min(workspace.rows, whole.B - first);
      if (s.starts) s.starts += first * s.T;
      const T *dout = dout_BTHD.rows(first, s.B).template as<T>(), *out = out_BTHD.rows(first, s.B).template as<T>();
      launch_delta(s, workspace.data, dout, out, stream_);
      const AttentionBackward<T> tensors{dqkv_BTSD.rows(first, s.B).template as<T>(), dout,
                                         lse_BHT.rows(first, s.B).template as<float>(), workspace.data,
                                         qkv_BTSD.rows(first, s.B).template as<T>()};
      if constexpr (std::is_same_v<T, bf16>)
        if (takes_mma(s, tensors.dqkv, dout, tensors.qkv)) {
          const bool on_hopper = hopper_ && hopper::takes_attention(s);
          (on_hopper ? hopper::attention_backward : attention_mma_backward)(s, tensors, stream_);
          continue;
        }
      attention_fma_backward(s, tensors, stream_);
    }
  });
}

}  // namespace gptmoe::cuda
