// The gradient of a linear layer's bias. Minimum traffic: dy is read once.
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/sums.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kAhead = 4;  // rows in flight, and the minimum number of rows per block of the backward

// A block sums rows blockIdx.x, blockIdx.x + gridDim.x, ... and writes the sums to its row of `partials`. Each thread
// owns columns.
template <typename T, int N>
__global__ void bias_backward_kernel(float* partials, const T* dy_NO, int64_t rows, int64_t O) {
  const int64_t stride = gridDim.x;
  for (int64_t at = static_cast<int64_t>(threadIdx.x) * N; at < O; at += int64_t{kThreads} * N) {
    float sums[N] = {};
    for (int64_t first = blockIdx.x; first < rows; first += kAhead * stride) {
      Pack<T, N> dy[kAhead] = {};
      for (int64_t r = 0; r < kAhead; ++r)
        if (first + r * stride < rows) dy[r] = Pack<T, N>::load(dy_NO + (first + r * stride) * O + at);
      for (int64_t r = 0; r < kAhead; ++r)
        for (int i = 0; i < N; ++i) sums[i] += dy[r][i];
    }
    for (int i = 0; i < N; ++i) partials[blockIdx.x * O + at + i] = sums[i];
  }
}

}  // namespace

void CudaKernels::bias_backward(const Tensor& dbias_O, const Tensor& dy_NO) {
  const int64_t N = dy_NO.size(0), O = dy_NO.size(1);
  const Partials sums = partials(O, ceil_div(N, kAhead));
  with_real(dy_NO, [&]<typename T>(T*) {
    const T* dy = dy_NO.as<T>();
    with_pack<T>(
        O,
        [&]<int P>(std::integral_constant<int, P>) {
          GPTMOE_LAUNCH((bias_backward_kernel<T, P>), static_cast<unsigned>(sums.rows), kThreads, 0, stream_, sums.data,
                        dy, N, O);
        },
        dy);
  });
  add_column_sums(stream_, dbias_O.as<float>(), sums.data, sums.rows, O);
}

}  // namespace gptmoe::cuda
