#pragma once
// Operands and outputs of one tile of a matrix product, D (rows x columns) = A (rows x depth) B (depth x columns),
// where "depth" is the summed dimension. gemm_tile.cuh and gemm_plain.cuh multiply tiles described this way.
#include "kernels/cuda/common.cuh"

namespace gptmoe::cuda {

// Says what one row in memory holds for an operand.
//   Along::depth: one row of A's tile, or one column of B's; consecutive elements are steps of depth.
//   Along::tile: one step of depth; consecutive elements are rows of A's tile, or columns of B's.
enum class Along { depth, tile };

// A row source maps row i of an operand to a row in memory, or to a negative number, which stands for a row of zeros.
// RowRange is the source of `count` consecutive rows.
class RowRange {
 public:
  __device__ explicit RowRange(int64_t count) : count_(static_cast<int>(count)) {}
  __device__ int64_t row(int i) const { return i < count_ ? i : -1; }

 private:
  int count_;
};
// A source that must read memory to find a row also offers the search in two steps: look_up() starts the read, and
// row_found(), called well after that, uses the result.
template <typename Rows>
concept LooksUp = requires(const Rows& rows) {
  rows.row_found(rows.look_up(0));
};

// A or B for one tile: columns [first, end) of the rows that `rows` gives; zeros beyond `end`.
template <typename T, Along kAlong_, typename Rows = RowRange>
struct Operand {
  static constexpr Along kAlong = kAlong_;
  const T* data;
  int64_t stride;  // elements from one row in memory to the next
  Rows rows;
  int64_t first, end;
};

// ---- Epilogues receive the elements of the tile. A kernel calls epilogue(row, step, column, values) until it has
// passed every element once, even those beyond the edge of D. values[i] are the kCount consecutive elements from (row +
// i * step, column) of the tile. kCount is a multiple of the epilogue's kTogether. The epilogues below write to a
// row-major D, whose first element in this tile is at `to`. From there, `rows` x `columns` elements of D remain, and
// `columns` is a multiple of kCount.
template <typename T>
struct StoreTile {
  static constexpr int kTogether = 1;
  T* to;
  int64_t stride;
  int rows, columns;

  template <int kRows, int kCount>
  __device__ void operator()(int row, int step, int column, const float (&values)[kRows][kCount]) const {
    constexpr int kWide = kCount * sizeof(T) > 16 ? 16 / sizeof(T) : kCount;
    GPTMOE_UNROLL
    for (int i = 0; i < kRows; ++i) {
      const int r = row + i * step;
      if (r >= rows || column >= columns) continue;
      GPTMOE_UNROLL
      for (int j = 0; j < kCount; j += kWide) {
        Pack<T, kWide> pack;
        for (int k = 0; k < kWide; ++k) pack.set(k, values[i][j + k]);
        pack.store_whole(to + r * stride + column + j);
      }
    }
  }
};

// Adds the tile to D. Everything is read before anything is written, so that rows do not wait for memory one by one.
struct AddTile {
  static constexpr int kTogether = 1;
  float* to;
  int64_t stride;
  int rows, columns;

  template <int kRows, int kCount>
  __device__ void operator()(int row, int step, int column, const float (&values)[kRows][kCount]) const {
    constexpr int kWide = kCount > 4 ? 4 : kCount;
    Pack<float, kWide> packs[kRows][kCount / kWide] = {};
    const auto for_each = [&](auto visit) {
      GPTMOE_UNROLL
      for (int i = 0; i < kRows; ++i) {
        const int r = row + i * step;
        if (r >= rows || column >= columns) continue;
        GPTMOE_UNROLL
        for (int j = 0; j < kCount / kWide; ++j) visit(i, j, to + r * stride + column + j * kWide);
      }
    };
    for_each([&](int i, int j, const float* at) { packs[i][j] = Pack<float, kWide>::load(at); });
    for_each([&](int i, int j, float* at) {
      for (int k = 0; k < kWide; ++k) packs[i][j].element[k] += values[i][j * kWide + k];
      packs[i][j].store(at);
    });
  }
};

}  // namespace gptmoe::cuda
