#include "kernels/cpu/gemm_builtin.h"

#include <algorithm>

#include "kernels/cpu/thread_buffer.h"
#include "kernels/cpu/tile.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {
namespace {

// Register tile: 24 accumulators of 32 registers with AVX-512, 12 of 16 without.
#ifdef __AVX512F__
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 6;
#endif
constexpr int64_t kTileColumns = 2 * kLanes;
// Cache blocks: a strip of b (kDepth, kTileColumns) stays in L1, a block of a (kRows, kDepth) in L2, b's in L3.
constexpr int64_t kDepth = 256;
constexpr int64_t kRows = 16 * kTileRows;
constexpr int64_t kColumns = 32 * kTileColumns;

// Copies (count, depth) elements into strips of `width` along count: strip, depth, width. The rest of the last strip is
// zero. Element (i, p) is x[i * step + p * depth_step].
void pack(Real* out, const Real* x, int64_t count, int64_t depth, int64_t step, int64_t depth_step, int64_t width) {
  for (int64_t first = 0; first < count; first += width, out += width * depth) {
    const int64_t used = std::min(width, count - first);
    const Real* strip = x + first * step;
    if (used < width) std::fill(out, out + width * depth, Real{0});
    if (step == 1) {
      for (int64_t p = 0; p < depth; ++p) std::copy_n(strip + p * depth_step, used, out + p * width);
    } else {
      for (int64_t i = 0; i < used; ++i)
        for (int64_t p = 0; p < depth; ++p) out[p * width + i] = strip[i * step + p * depth_step];
    }
  }
}

// One tile of c with at most `rows` and `columns` of it inside the matrix.
void tile_into(Real* c, int64_t ldc, int64_t rows, int64_t columns, int64_t depth, const Real* a, const Real* b,
               bool add) {
  if (rows >= kTileRows && columns >= kTileColumns) {
    multiply_tile<kTileRows, 2>(depth, a, 1, kTileRows, b, kTileColumns, c, ldc, add);
    return;
  }
  alignas(64) Real edge[kTileRows * kTileColumns];
  multiply_tile<kTileRows, 2>(depth, a, 1, kTileRows, b, kTileColumns, edge, kTileColumns, false);
  for (int64_t i = 0; i < std::min<int64_t>(rows, kTileRows); ++i)
    for (int64_t j = 0; j < std::min(columns, kTileColumns); ++j)
      c[i * ldc + j] = edge[i * kTileColumns + j] + (add ? c[i * ldc + j] : Real{0});
}

// c (rows, columns) from packed blocks.
void multiply_blocks(Real* c, int64_t ldc, int64_t rows, int64_t columns, int64_t depth, const Real* a, const Real* b,
                     bool add) {
  for (int64_t j = 0; j < columns; j += kTileColumns)
    for (int64_t i = 0; i < rows; i += kTileRows)
      tile_into(c + i * ldc + j, ldc, rows - i, columns - j, depth, a + i * depth, b + j * depth, add);
}

}  // namespace

void gemm_builtin(int64_t m, int64_t n, int64_t k, const Real* a, int64_t a_row, int64_t a_column, const Real* b,
                  int64_t b_row, int64_t b_column, Real* c, int64_t ldc, bool add) {
  static thread_local ThreadBuffer buffer;
  Real* packed_a = buffer.get((kRows + kColumns) * kDepth);
  Real* packed_b = packed_a + kRows * kDepth;
  if (k == 0 && !add)
    for (int64_t i = 0; i < m; ++i) std::fill_n(c + i * ldc, n, Real{0});
  for (int64_t j = 0; j < n; j += kColumns) {
    const int64_t columns = std::min(kColumns, n - j);
    for (int64_t p = 0; p < k; p += kDepth) {
      const int64_t depth = std::min(kDepth, k - p);
      pack(packed_b, b + p * b_row + j * b_column, columns, depth, b_column, b_row, kTileColumns);
      for (int64_t i = 0; i < m; i += kRows) {
        const int64_t rows = std::min(kRows, m - i);
        pack(packed_a, a + i * a_row + p * a_column, rows, depth, a_row, a_column, kTileRows);
        multiply_blocks(c + i * ldc + j, ldc, rows, columns, depth, packed_a, packed_b, add || p > 0);
      }
    }
  }
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
