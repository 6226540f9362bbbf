#ifndef GPTMOE_CPU_F64
#include "kernels/cpu/gemm_bf16.h"

#include <algorithm>

#include "base/bf16.h"
#include "kernels/cpu/thread_buffer.h"
#include "kernels/cpu/vector.h"

namespace gptmoe::cpu_f32 {
namespace {

// Cache blocks, as in gemm_builtin.cpp: 32 columns of `b` (24 KiB) stay in L1, and a block of `a` (144 KiB) in L2.
constexpr int64_t kBlocks = 12;
constexpr int64_t kRows = 192;
constexpr int64_t kColumns = 512;

// An operand as lines along the depth: the rows of `a`, or the columns of `b`.
struct Lines {
  const float* data;
  int64_t line, depth;  // strides; one of them is 1
  Lines at(int64_t i, int64_t p) const { return {data + i * line + p * depth, line, depth}; }
};

uint32_t bf16_pair(float low, float high) { return bf16_bits(low) | uint32_t{bf16_bits(high)} << 16; }

// Rounds lines that are contiguous in memory and writes them to `out` (line, pair).
void round_along(uint32_t* out, const Lines& x, int64_t lines, int64_t depth) {
  for (int64_t i = 0; i < lines; ++i, out += kPairs) {
    const float* line = x.at(i, 0).data;
    if (depth == kBlockDepth) {
      for (int64_t p = 0; p < kPairs; ++p) out[p] = bf16_pair(line[2 * p], line[2 * p + 1]);
    } else {
      for (int64_t p = 0; p < kPairs; ++p)
        out[p] = bf16_pair(2 * p < depth ? line[2 * p] : 0, 2 * p + 1 < depth ? line[2 * p + 1] : 0);
    }
  }
  std::fill_n(out, (kLines - lines) * kPairs, 0);
}

// Rounds lines that are interleaved in memory and writes them to `out` (pair, line).
void round_across(uint32_t* out, const Lines& x, int64_t lines, int64_t depth) {
  for (int64_t p = 0; p < kPairs; ++p, out += kLines) {
    const float *low = x.at(0, 2 * p).data, *high = x.at(0, 2 * p + 1).data;
    if (lines == kLines && 2 * p + 1 < depth) {
      for (int64_t i = 0; i < kLines; ++i) out[i] = bf16_pair(low[i], high[i]);
    } else {
      for (int64_t i = 0; i < kLines; ++i)
        out[i] = bf16_pair(i < lines && 2 * p < depth ? low[i] : 0, i < lines && 2 * p + 1 < depth ? high[i] : 0);
    }
  }
}

// Transposes with vectors of floats, which can move any 32-bit values.
void transpose_block(uint32_t* out, const uint32_t* x) {
  static_assert(kLines == kPairs && kLines % kLanes == 0);
  for (int64_t i = 0; i < kLines; i += kLanes)
    for (int64_t j = 0; j < kPairs; j += kLanes)
      transpose_square(reinterpret_cast<float*>(out) + j * kLines + i, kLines,
                       reinterpret_cast<const float*>(x) + i * kPairs + j, kPairs);
}

// Packs an operand as gemm_bf16.h says, padded with zeros. Blocks are laid out as (line, pair) if `pairs_inside`, else
// as (pair, line).
void pack(uint32_t* out, const Lines& x, int64_t lines, int64_t depth, bool pairs_inside) {
  const bool along = x.depth == 1;
  alignas(64) uint32_t turned[kBlockPairs];
  for (int64_t i = 0; i < lines; i += kLines) {
    for (int64_t p = 0; p < depth; p += kBlockDepth, out += kBlockPairs) {
      uint32_t* const rounded = along == pairs_inside ? out : turned;
      (along ? round_along : round_across)(rounded, x.at(i, p), std::min(kLines, lines - i),
                                           std::min(kBlockDepth, depth - p));
      if (rounded == turned) transpose_block(out, turned);
    }
  }
}

int strips(int64_t lines) { return lines > kLines ? 2 : 1; }

// Computes `c` (rows, columns) from packed operands.
void multiply_packed(const Bf16Kernel& kernel, int64_t rows, int64_t columns, int64_t blocks, const uint32_t* a,
                     const uint32_t* b, float* c, int64_t ldc, bool add) {
  constexpr int64_t kTile = 2 * kLines;
  alignas(64) float edge[kTile * kTile];
  for (int64_t j = 0; j < columns; j += kTile) {
    const int64_t width = std::min(kTile, columns - j);
    for (int64_t i = 0; i < rows; i += kTile) {
      const int64_t height = std::min(kTile, rows - i);
      const uint32_t *a_tile = a + i / kLines * blocks * kBlockPairs, *b_tile = b + j / kLines * blocks * kBlockPairs;
      float* const tile = c + i * ldc + j;
      if (height % kLines == 0 && width % kLines == 0) {
        kernel.multiply(strips(height), strips(width), blocks, a_tile, b_tile, tile, ldc, add);
        continue;
      }
      // The kernel itself adds to c's values at the edges too, so that a row's result does not depend on its place in
      // the block.
      if (add) {
        std::fill_n(edge, kTile * kTile, 0.0f);
        for (int64_t row = 0; row < height; ++row) std::copy_n(tile + row * ldc, width, edge + row * kTile);
      }
      kernel.multiply(strips(height), strips(width), blocks, a_tile, b_tile, edge, kTile, add);
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
      pack(packed_b, columns_of_b.at(j, p), columns, depth, false);
      for (int64_t i = 0; i < m; i += kRows) {
        const int64_t rows = std::min(kRows, m - i);
        pack(packed_a, rows_of_a.at(i, p), rows, depth, true);
        multiply_packed(kernel, rows, columns, count, packed_a, packed_b, c + i * ldc + j, ldc, add || pass > 0);
      }
    }
  }
  kernel.end();
}

}  // namespace gptmoe::cpu_f32
#endif
