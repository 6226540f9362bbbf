#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 256;

// Computes in double: the angle of a late position needs more digits than float has.
__global__ void rope_tables_kernel(float* cosines, float* sines, int64_t T, int64_t P, double theta) {
  const int64_t at = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (at >= T * P) return;
  const double frequency = pow(theta, -static_cast<double>(at % P) / static_cast<double>(P));
  const double angle = static_cast<double>(at / P) * frequency;
  cosines[at] = static_cast<float>(cos(angle));
  sines[at] = static_cast<float>(sin(angle));
}

// One warp per sequence, which takes 32 tokens at a time. A lane's document starts after the last `end` before its
// token.
__global__ void document_starts_kernel(int32_t* starts, const int32_t* tokens, int T, int64_t end) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * T;
  const int lane = static_cast<int>(threadIdx.x);
  int start = 0;  // start of the document of the first lane's token
  for (int first = 0; first < T; first += kWarp) {
    const int t = first + lane;
    const unsigned ends = __ballot_sync(kAllLanes, t < T && tokens[row + t] == end);
    const unsigned before = ends & ((1u << lane) - 1);
    if (t < T) starts[row + t] = before != 0 ? first + kWarp - __clz(static_cast<int>(before)) : start;
    if (ends != 0) start = first + kWarp - __clz(static_cast<int>(ends));
  }
}

// One block per token. Its threads divide the pairs of the token's rotated heads among themselves, in packs of N pairs.
// Minimum traffic: the rotated heads are read and written once; the tables stay in L1 and L2.
template <typename T, int N>
__global__ void rotate_kernel(T* qkv, const float* cos_table, const float* sin_table, const int32_t* starts,
                              int tokens_in_sequence, int heads, int rotated, int P, float direction) {
  const int64_t n = blockIdx.x;
  const int64_t t = blockIdx.x % static_cast<unsigned>(tokens_in_sequence) - (starts ? starts[n] : 0);
  const int packs = P / N;
  T* token = qkv + n * heads * 2 * P;
  for (int i = static_cast<int>(threadIdx.x); i < rotated * packs; i += static_cast<int>(blockDim.x)) {
    const int p = i % packs * N;
    T *low = token + static_cast<int64_t>(i / packs) * 2 * P + p, *high = low + P;
    const auto a = Pack<T, N>::load(low), b = Pack<T, N>::load(high);
    float cosines[N], sines[N];
    load_floats(cosines, cos_table + t * P + p);
    load_floats(sines, sin_table + t * P + p);
    Pack<T, N> new_low, new_high;
    for (int j = 0; j < N; ++j) {
      const float d = sines[j] * direction;
      new_low.set(j, a[j] * cosines[j] - b[j] * d);
      new_high.set(j, b[j] * cosines[j] + a[j] * d);
    }
    new_low.store(low);
    new_high.store(high);
  }
}

// Rotates the first `rotated` heads of every token by the tables' angles times `direction` (1 or -1).
void rotate(cudaStream_t stream, const Tensor& qkv_BTSD, const Tensor& cos_TP, const Tensor& sin_TP, int64_t rotated,
            const Tensor& starts_BT, float direction) {
  const int64_t T = qkv_BTSD.size(1), N = qkv_BTSD.size(0) * T, S = qkv_BTSD.size(2), D = qkv_BTSD.size(3), P = D / 2;
  GPTMOE_CHECK(S * D < (int64_t{1} << 31) && N < (int64_t{1} << 31), qkv_BTSD.describe());
  if (rotated == 0) return;
  const float *cosines = cos_TP.as<float>(), *sines = sin_TP.as<float>();
  const int32_t* starts = starts_BT.present() ? starts_BT.as<int32_t>() : nullptr;
  with_real(qkv_BTSD, [&]<typename Real>(Real*) {
    Real* qkv = qkv_BTSD.as<Real>();
    with_pack<Real>(
        P,
        [&]<int K>(std::integral_constant<int, K>) {
          const int64_t threads = std::min<int64_t>(kThreads, ceil_div(rotated * P / K, kWarp) * kWarp);
          GPTMOE_LAUNCH((rotate_kernel<Real, K>), static_cast<unsigned>(N), static_cast<unsigned>(threads), 0, stream,
                        qkv, cosines, sines, starts, static_cast<int>(T), static_cast<int>(S),
                        static_cast<int>(rotated), static_cast<int>(P), direction);
        },
        qkv, cosines, sines);
  });
}

}  // namespace

void CudaKernels::rope_tables(const Tensor& cos_TP, const Tensor& sin_TP, double theta) {
  const int64_t T = cos_TP.size(0), P = cos_TP.size(1);
  GPTMOE_LAUNCH(rope_tables_kernel, static_cast<unsigned>(ceil_div(T * P, kThreads)), kThreads, 0, stream_,
                cos_TP.as<float>(), sin_TP.as<float>(), T, P, theta);
}

void CudaKernels::document_starts(const Tensor& starts_BT, const Tensor& tokens_BT, int64_t end) {
  const auto B = static_cast<unsigned>(tokens_BT.size(0));
  GPTMOE_LAUNCH(document_starts_kernel, B, kWarp, 0, stream_, starts_BT.as<int32_t>(), tokens_BT.as<int32_t>(),
                static_cast<int>(tokens_BT.size(1)), end);
}

void CudaKernels::rope_forward(const Tensor& qkv_BTSD, const Tensor& cos_TP, const Tensor& sin_TP, int64_t rotated,
                               const Tensor& starts_BT) {
  rotate(stream_, qkv_BTSD, cos_TP, sin_TP, rotated, starts_BT, 1.0f);
}

void CudaKernels::rope_backward(const Tensor& dqkv_BTSD, const Tensor& cos_TP, const Tensor& sin_TP, int64_t rotated,
                                const Tensor& starts_BT) {
  rotate(stream_, dqkv_BTSD, cos_TP, sin_TP, rotated, starts_BT, -1.0f);
}

}  // namespace gptmoe::cuda
