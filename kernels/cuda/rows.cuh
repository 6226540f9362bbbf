#pragma once
// Helpers for rows of a matrix that one warp walks, that a whole block reduces, or that groups of a warp share.
#include "kernels/cuda/common.cuh"

namespace gptmoe::cuda {

// A row of `width` elements in packs of N (width a multiple of N), as seen by one lane of a warp, which has the packs
// lane + 32 * i. The first kKept stay in registers; later ones are read again, usually from L1.
template <typename T, int N, int kKept>
class WarpRow {
 public:
  __device__ WarpRow(const T* row, int64_t width) : row_(row), width_(width) {
    first_ = static_cast<int64_t>(threadIdx.x) % kWarp * N;
    for (int i = 0; i < kKept; ++i)
      if (first_ + i * kStep < width_) kept_[i] = Pack<T, N>::load(row_ + first_ + i * kStep);
  }

  // Calls visit(at, pack) for this lane's packs.
  template <typename Visit>
  __device__ void each(Visit visit) const {
    for (int i = 0; i < kKept; ++i)
      if (first_ + i * kStep < width_) visit(first_ + i * kStep, kept_[i]);
    for (int64_t at = first_ + kKept * kStep; at < width_; at += kStep) visit(at, Pack<T, N>::load(row_ + at));
  }

 private:
  static constexpr int64_t kStep = kWarp * N;
  const T* row_;
  int64_t width_, first_;
  Pack<T, N> kept_[kKept];
};

// Sums each x[i] over the block; every thread gets the sums. `buffer`: kCount * kMaxWarps floats of shared memory.
// There is no barrier at the end, so the next call must use another buffer. The one after that may use this one again.
template <int kCount>
__device__ void block_sums(float (&x)[kCount], float* buffer) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  for (int i = 0; i < kCount; ++i) {
    x[i] = warp_sum(x[i]);
    if (lane == 0) buffer[i * kMaxWarps + warp] = x[i];
  }
  __syncthreads();
  for (int i = 0; i < kCount; ++i) x[i] = warp_sum(lane < warps ? buffer[i * kMaxWarps + lane] : 0.0f);
}

// ---- Short rows: kLanes neighbouring lanes of a warp share a row, kLanes a power of two.

template <int kLanes>
__device__ float lanes_sum(float x) {
  for (int bits = kLanes / 2; bits > 0; bits /= 2) x += __shfl_xor_sync(kAllLanes, x, bits);
  return x;
}
template <int kLanes>
__device__ float lanes_max(float x) {
  for (int bits = kLanes / 2; bits > 0; bits /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, bits));
  return x;
}

// Calls visit with std::integral_constant<int, kLanes>: enough lanes for a row of `width`, at most a warp.
template <typename Visit>
void with_lanes(int64_t width, Visit visit) {
  if (width <= 4) return visit(std::integral_constant<int, 4>{});
  if (width <= 8) return visit(std::integral_constant<int, 8>{});
  if (width <= 16) return visit(std::integral_constant<int, 16>{});
  visit(std::integral_constant<int, 32>{});
}

}  // namespace gptmoe::cuda
