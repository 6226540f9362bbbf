#pragma once
// The tiles and row sources that the grouped products share.
#include "kernels/cuda/expert_tiles.cuh"
#include "kernels/cuda/gemm_plain.cuh"
#include "kernels/cuda/gemm_tile.cuh"
#include "kernels/sorted_rows.h"

namespace gptmoe::cuda {

// Division of 0 <= n < 2^31 by a number known at the launch, in three instructions (Granlund & Montgomery 1994).
class Divisor {
 public:
  explicit Divisor(int64_t by) {
    while (int64_t{1} << shift_ < by) ++shift_;
    factor_ = static_cast<unsigned>((((int64_t{1} << shift_) - by) << 32) / by + 1);
  }
  __device__ int of(int n) const {
    const auto dividend = static_cast<unsigned>(n);
    return static_cast<int>((__umulhi(dividend, factor_) + dividend) >> shift_);
  }

 private:
  int shift_ = 0;
  unsigned factor_;
};

// A row source (gemm_operand.cuh): the rows of the tokens of `count` slots or, without slots, `count` consecutive rows.
struct SortedRows {
  const int32_t* slots;
  Divisor K;
  int count;
  __device__ int look_up(int i) const { return i >= count ? -1 : slots ? slots[i] : i; }
  __device__ int row_found(int slot) const { return slot < 0 ? -1 : K.of(slot); }
  __device__ int64_t row(int i) const { return row_found(look_up(i)); }
};

// The operand x of a grouped op (moe_ops.inc) over R sorted rows.
template <typename T>
struct RowInput {
  const T* x;
  int width;
  const int32_t* slots_R;
  Divisor K;

  RowInput(const Tensor& x_, const Tensor& slots, int64_t R)
      : x(x_.as<T>()),
        width(static_cast<int>(x_.size(1))),
        slots_R(slots.present() ? slots.as<int32_t>() : nullptr),
        K(rows_per_token(x_, slots, R)) {
    GPTMOE_CHECK(R <= INT32_MAX, R, " rows");
  }
  // The `count` sorted rows from `first` on, without the columns before `column`.
  template <Along kAlong>
  __device__ Operand<T, kAlong, SortedRows> rows(int64_t first, int64_t count, int64_t column = 0) const {
    const SortedRows source{slots_R ? slots_R + first : nullptr, K, static_cast<int>(count)};
    return {slots_R ? x : x + first * width, width, source, column, width};
  }
};

// Calls visit with the kind of tile that suits operands of these widths.
template <typename T, typename Visit, typename... Pointers>
void with_tile(int64_t O, int64_t I, Visit visit, const Pointers*... tensors) {
  const bool aligned = (... && (reinterpret_cast<uintptr_t>(tensors) % 16 == 0));
  if constexpr (std::is_same_v<T, bf16>)
    if (O % 8 == 0 && I % 8 == 0 && aligned) return visit(TensorTile{});
  visit(PlainTile{});
}

// The tile of an (R, columns) result that a block computes. Consecutive blocks go through the columns first.
template <typename Tile>
struct BlockTile {
  RowTile rows;
  int64_t column;

  __device__ BlockTile(const int64_t* offsets_E1, int64_t E, int64_t column_tiles)
      : rows(find_row_tile(offsets_E1, E, Tile::kRows, blockIdx.x / column_tiles)),
        column(blockIdx.x % column_tiles * Tile::kColumns) {}
};
template <typename Tile>
unsigned blocks_for_rows(int64_t R, int64_t E, int64_t column_tiles) {
  return static_cast<unsigned>(column_tiles * most_row_tiles(R, E, Tile::kRows));
}

}  // namespace gptmoe::cuda
