#pragma once
// Indices and grid sizes for kernels that handle one row per warp.
#include "kernels/cuda/common.cuh"

namespace gptmoe::cuda {

__device__ inline int lane_index() { return static_cast<int>(threadIdx.x) % kWarp; }
// The warp's index in the block, and in the whole one-dimensional grid.
__device__ inline int warp_index() { return static_cast<int>(threadIdx.x) / kWarp; }
__device__ inline int64_t grid_warp_index() {
  return static_cast<int64_t>(blockIdx.x) * (blockDim.x / kWarp) + warp_index();
}

inline unsigned blocks_for_warps(int64_t warps, int threads) {
  return static_cast<unsigned>(ceil_div(warps, threads / kWarp));
}

// The sum over the lanes up to and including this one.
template <typename Int>
__device__ Int warp_inclusive_scan(Int x) {
  for (int by = 1; by < kWarp; by *= 2) {
    const Int below = __shfl_up_sync(kAllLanes, x, by);
    if (lane_index() >= by) x += below;
  }
  return x;
}

}  // namespace gptmoe::cuda
