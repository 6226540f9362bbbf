#ifndef GPTMOE_CPU_F64
#include "kernels/cpu/gemm_bf16.h"

#include <algorithm>

#include "kernels/cpu/gemm_bf16_pack.h"
#include "kernels/cpu/thread_buffer.h"

namespace gptmoe::cpu_f32 {
namespace {

// Cache blocks, as in gemm_builtin.cpp: 32 columns of `b` (24 KiB) stay in L1, and a block of `a` (144 KiB) in L2.
constexpr int64_t kBlocks = 12;
constexpr int64_t kRows = 192;
constexpr int64_t kColumns = 512;

// The strips of a tile with `lines` lines, the first of which is line `first` of an operand with `blocks` blocks of
// depth.
Strips strips_at(const uint32_t* packed, int64_t first, int64_t lines, int64_t blocks) {
  return {packed + first / kLines * blocks * kBlockPairs, lines > kLines ? 2 : 1, blocks * kBlockPairs};
}

// Computes `c` (rows, columns) from packed operands.
void multiply_packed(const Bf16Kernel& kernel, int64_t rows, int64_t columns, int64_t blocks, const uint32_t* a,
                     const uint32_t* b, float* c, int64_t ldc, bool add) {
  constexpr int64_t kTile = 2 * kLines;
  alignas(64) float edge[kTile * kTile];
  for (int64_t j = 0; j < columns; j += kTile) {
    const int64_t width = std::min(kTile, columns - j);
    for (int64_t i = 0; i < rows; i += kTile) {
      const int64_t height = std::min(kTile, rows - i);
      const Strips a_tile = strips_at(a, i, height, blocks), b_tile = strips_at(b, j, width, blocks);
      float* const tile = c + i * ldc + j;
      for (int64_t row = 0; row < height; ++row)
        for (int64_t column = 0; column < width; column += kLines) __builtin_prefetch(tile + row * ldc + column, 1);
      if (height % kLines == 0 && width % kLines == 0) {
        kernel.multiply(blocks, a_tile, b_tile, tile, ldc, add);
        continue;
      }
      // The kernel itself adds to c's values at the edges too, so that a row's result does not depend on its position
      // in the block.
      if (add) {
        std::fill_n(edge, kTile * kTile, 0.0f);
        for (int64_t row = 0; row < height; ++row) std::copy_n(tile + row * ldc, width, edge + row * kTile);
      }
      kernel.multiply(blocks, a_tile, b_tile, edge, kTile, add);
      for (int64_t row = 0; row < height; ++row) std::copy_n(edge + row * kTile, width, tile + row * ldc);
    }
  }
}

}  // namespace

void gemm_bf16(const Bf16Kernel& kernel, int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row,
               int64_t a_column, const float* b, int64_t b_row, int64_t b_column, float* c, int64_t ldc, bool add) {
  static thread_local ThreadBuffer buffer;
  constexpr int64_t kDepthPairs = kBlocks * kPairs;
  auto* const packed_a = reinterpret_cast<uint32_t*>(buffer.get((kRows + kColumns) * kDepthPairs));
  uint32_t* const packed_b = packed_a + kRows * kDepthPairs;
  const Lines rows_of_a{a, a_row, a_column}, columns_of_b{b, b_column, b_row};
  // The passes have equal depth, as in gemm_builtin(), except that the last one may be shorter.
  const int64_t blocks = (k + kBlockDepth - 1) / kBlockDepth, passes = (blocks + kBlocks - 1) / kBlocks;
  kernel.begin();
  for (int64_t j = 0; j < n; j += kColumns) {
    const int64_t columns = std::min(kColumns, n - j);
    for (int64_t pass = 0; pass < passes; ++pass) {
      const int64_t first = blocks * pass / passes, count = blocks * (pass + 1) / passes - first;
      const int64_t p = first * kBlockDepth, depth = std::min(k - p, count * kBlockDepth);
      pack_bf16(packed_b, columns_of_b.at(j, p), columns, depth, false);
      for (int64_t i = 0; i < m; i += kRows) {
        const int64_t rows = std::min(kRows, m - i);
        pack_bf16(packed_a, rows_of_a.at(i, p), rows, depth, true);
        multiply_packed(kernel, rows, columns, count, packed_a, packed_b, c + i * ldc + j, ldc, add || pass > 0);
      }
    }
  }
  kernel.end();
}

}  // namespace gptmoe::cpu_f32
#endif
