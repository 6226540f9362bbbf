#include "kernels/cuda/sums.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kLanes = 16;  // rows added at the same time, for each of the 32 columns of a block

__global__ void __launch_bounds__(kLanes* kWarp)
    add_column_sums_kernel(float* out, float* second, const float* partials, int64_t rows, int64_t width) {
  auto* sums = shared_memory<float>();  // [kLanes][kWarp]
  const int column = static_cast<int>(threadIdx.x) % kWarp, lane = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t c = static_cast<int64_t>(blockIdx.x) * kWarp + column;
  float sum = 0;
  if (c < width)
    for (int64_t r = lane; r < rows; r += kLanes) sum += partials[r * width + c];
  sums[lane * kWarp + column] = sum;
  __syncthreads();
  if (lane != 0 || c >= width) return;
  for (int i = 1; i < kLanes; ++i) sum += sums[i * kWarp + column];
  const int64_t half = width / 2;
  float* const to = second && c >= half ? second + (c - half) : out + c;
  *to += sum;
}

__global__ void finish_sum_kernel(float* out, const float* partials, int64_t rows, float factor, Total total) {
  float sum = 0;
  for (int64_t r = threadIdx.x; r < rows; r += kSumThreads) sum += partials[r];
  sum = factor * block_sum(sum, shared_memory<float>());
  if (threadIdx.x == 0) *out = total == Total::add ? *out + sum : sum;
}

}  // namespace

void add_column_sums(cudaStream_t stream, float* out, const float* partials, int64_t rows, int64_t width,
                     float* second) {
  GPTMOE_LAUNCH(add_column_sums_kernel, static_cast<unsigned>(ceil_div(width, kWarp)), kLanes * kWarp,
                kLanes * kWarp * sizeof(float), stream, out, second, partials, rows, width);
}

void finish_sum(cudaStream_t stream, float* out, const float* partials, int64_t rows, float factor, Total total) {
  GPTMOE_LAUNCH(finish_sum_kernel, 1, kSumThreads, kMaxWarps * sizeof(float), stream, out, partials, rows, factor,
                total);
}

}  // namespace gptmoe::cuda
