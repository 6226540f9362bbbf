#pragma once
// Sorted rows cut into tiles that never cross experts. The host sizes grids without knowing how many rows each expert
// has. Blocks read the numbers of rows from the offsets on the device, and the last few blocks may have no work.
#include <algorithm>

#include "kernels/cuda/warps.cuh"

namespace gptmoe::cuda {

// The largest number of tiles that any routing can make. An expert's rows make ceil(rows / tile_rows) tiles. Cutting R
// rows into at most min(E, R) ranges adds at most one tile per cut.
inline int64_t most_row_tiles(int64_t R, int64_t E, int64_t tile_rows) {
  return R == 0 ? 0 : ceil_div(R, tile_rows) + std::min(E, R) - 1;
}

struct RowTile {
  int64_t expert, first, count;  // count = 0: no such tile
};

// The tile with number `tile` among all experts' tiles in order. Whole warps call it; every lane gets the same answer.
__device__ inline RowTile find_row_tile(const int64_t* offsets_E1, int64_t E, int64_t tile_rows, int64_t tile) {
  for (int64_t begin = 0; begin < E; begin += kWarp) {
    const int64_t expert = begin + lane_index();
    const int64_t first = expert < E ? offsets_E1[expert] : 0, rows = expert < E ? offsets_E1[expert + 1] - first : 0;
    const int64_t own = ceil_div(rows, tile_rows), through = warp_inclusive_scan(own);
    if (const unsigned later = __ballot_sync(kAllLanes, tile < through); later != 0) {
      const int lane = __ffs(static_cast<int>(later)) - 1;
      const int64_t skipped = (tile - __shfl_sync(kAllLanes, through - own, lane)) * tile_rows;
      const int64_t left = __shfl_sync(kAllLanes, rows, lane) - skipped;
      return {begin + lane, __shfl_sync(kAllLanes, first, lane) + skipped, left < tile_rows ? left : tile_rows};
    }
    tile -= __shfl_sync(kAllLanes, through, kWarp - 1);
  }
  return {0, 0, 0};
}

}  // namespace gptmoe::cuda
