#pragma once
// Where the rows of a grouped product come from: consecutive rows of a tensor, which bulk copies load, or the rows of
// the tokens of slots. Bulk copies cannot gather, so the 128 threads of a warpgroup copy those by cp.async, into the
// layout that a bulk copy would give.
//
// Each source gives an object for a tile, of which one thread calls load() and all call copy() for each stage.
#include "kernels/cuda/expert_product.cuh"
#include "kernels/cuda/hopper/product_tile.cuh"
#include "kernels/cuda/hopper/tensor_maps.h"

namespace gptmoe::cuda::hopper {

constexpr int kChunk = 8;                        // elements in 16 bytes, which one cp.async copies
constexpr int kLineChunks = kBoxWidth / kChunk;  // in a line of a box

// Where a box has chunk `chunk` of line `line`, in elements.
__device__ inline int place_in_box(int line, int chunk) {
  return line * kBoxWidth + (chunk ^ line % kLineChunks) * kChunk;
}

// ---- Operand A of Major::k: the rows of a tile, 64 columns at a time. Columns past x's width become zeros. The rows
// after the tile's own are others, or zeros past the last row of x.

template <typename Tile>
class ConsecutiveRows {
 public:
  static constexpr bool kGathered = false;
  static constexpr uint32_t kBytes = Tile::kBytesA;  // that load() loads

  explicit ConsecutiveRows(const Tensor& x)
      : map_(tensor_map(x.data(), {x.size(1), x.size(0)}, {x.size(1) * 2}, {kBoxWidth, Tile::kRows},
                        SharedSwizzle::bytes_128)) {}

  struct OfTile {
    const CUtensorMap& map;
    int first;
    __device__ void load(bf16* to, int column, Mbarrier* full) const { tensor_load(to, map, column, first, full); }
    __device__ void copy(bf16*, int) const {}
  };
  __device__ OfTile of(const RowTile& tile) const { return {map_, static_cast<int>(tile.first)}; }

 private:
  CUtensorMap map_;
};

template <typename Tile>
class GatheredRows {
 public:
  static constexpr bool kGathered = true;
  static constexpr uint32_t kBytes = 0;

  GatheredRows(const Tensor& x, const Tensor& slots, int64_t R) : in_(x, slots, R) {}

  class OfTile {
    static constexpr int kLinesAtOnce = kWarpgroup / kLineChunks, kCopies = Tile::kRows / kLinesAtOnce;

   public:
    __device__ OfTile(const RowInput<bf16>& in, const RowTile& tile) {
      const int thread = static_cast<int>(threadIdx.x), line = thread / kLineChunks, chunk = thread % kLineChunks;
      const SortedRows source{in.slots_R + tile.first, in.K, static_cast<int>(tile.count)};
      left_ = in.width - chunk * kChunk;
      place_ = place_in_box(line, chunk);
      GPTMOE_UNROLL
      for (int i = 0; i < kCopies; ++i) {
        const int64_t row = source.row(line + i * kLinesAtOnce);
        lines_[i] = in.x + row * in.width + chunk * kChunk;
        there_ |= static_cast<unsigned>(row >= 0) << i;
      }
    }
    __device__ void load(bf16*, int, Mbarrier*) const {}
    // Addresses outside x are passed to cp.async, but not read.
    __device__ void copy(bf16* to, int column) const {
      static_assert(kLinesAtOnce % kLineChunks == 0, "all lines of a thread are permuted alike");
      GPTMOE_UNROLL
      for (int i = 0; i < kCopies; ++i)
        cp_async_16(to + place_ + i * kLinesAtOnce * kBoxWidth, lines_[i] + column,
                    (there_ >> i & 1) != 0 && column < left_);
    }

   private:
    const bf16* lines_[kCopies];
    unsigned there_ = 0;  // one bit per line
    int left_, place_;
  };
  __device__ OfTile of(const RowTile& tile) const { return OfTile(in_, tile); }

 private:
  RowInput<bf16> in_;
};

// ---- An operand of Major::mn with kWidth rows or columns: 64 rows of x at a time are the steps of depth. Columns past
// x's width become zeros. The rows after the tile's own are others, or zeros.

template <typename Tile, int kWidth>
class ConsecutiveSteps {
 public:
  static constexpr bool kGathered = false;
  static constexpr uint32_t kBytes = kWidth * Tile::kDepth * sizeof(bf16);

  explicit ConsecutiveSteps(const Tensor& x)
      : map_(tensor_map(x.data(), {x.size(1), x.size(0)}, {x.size(1) * 2}, {kBoxWidth, Tile::kDepth},
                        SharedSwizzle::bytes_128)) {}

  struct OfTile {
    const CUtensorMap& map;
    int first, column;
    __device__ void load(bf16* to, int depth, Mbarrier* full) const {
      for (int i = 0; i < kWidth / kBoxWidth; ++i)
        tensor_load(to + i * kBoxElements, map, column + i * kBoxWidth, first + depth, full);
    }
    __device__ void copy(bf16*, int) const {}
  };
  __device__ OfTile of(const RowTile& rows, int column) const { return {map_, static_cast<int>(rows.first), column}; }

 private:
  CUtensorMap map_;
};

template <typename Tile, int kWidth>
class GatheredSteps {
 public:
  static constexpr bool kGathered = true;
  static constexpr uint32_t kBytes = 0;

  GatheredSteps(const Tensor& x, const Tensor& slots, int64_t R) : in_(x, slots, R) {}

  class OfTile {
    static constexpr int kWarpLines = Tile::kDepth / (kWarpgroup / kWarp);
    static constexpr int kChunks = kWidth / kChunk, kLinesAtOnce = kWarp / kChunks;

   public:
    __device__ OfTile(const RowInput<bf16>& in, const RowTile& rows, int column)
        : source_{in.slots_R + rows.first, in.K, static_cast<int>(rows.count)}, width_(in.width) {
      const int mine = column + lane_index() % kChunks * kChunk;
      columns_ = in.x + mine;
      there_ = mine < in.width;
      look_up(0);
    }
    __device__ void load(bf16*, int, Mbarrier*) const {}
    // Each lane has looked up one row of its warp, a stage before.
    __device__ void copy(bf16* to, int depth) {
      const int own = source_.row_found(found_), chunk = lane_index() % kChunks;
      look_up(depth + Tile::kDepth);
      bf16* const box = to + chunk / kLineChunks * kBoxElements;
      GPTMOE_UNROLL
      for (int i = 0; i < kWarpLines; i += kLinesAtOnce) {
        const int line = i + lane_index() / kChunks;
        const int64_t row = __shfl_sync(kAllLanes, own, line);
        cp_async_16(box + place_in_box(warp_index() * kWarpLines + line, chunk % kLineChunks), columns_ + row * width_,
                    row >= 0 && there_);
      }
    }

   private:
    __device__ void look_up(int depth) {
      found_ = source_.look_up(depth + warp_index() * kWarpLines + lane_index() % kWarpLines);
    }

    SortedRows source_;
    int width_;
    const bf16* columns_;
    bool there_;
    int found_;
  };
  __device__ OfTile of(const RowTile& rows, int column) const { return OfTile(in_, rows, column); }

 private:
  RowInput<bf16> in_;
};

}  // namespace gptmoe::cuda::hopper
