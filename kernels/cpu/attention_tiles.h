#pragma once
// Layouts and matrix products for attention.cpp. All operands are copied into buffers. Each row of a buffer is padded
// to whole vectors, and the number of rows to whole tiles, so that the products consist of whole tiles.
#include <algorithm>

#include "kernels/cpu/tile.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

// Register tile and cache blocks. The accumulators of a tile take 16 of the 32 registers with AVX-512, and 12 of the 16
// without it. Two multiply-adds start per cycle and finish up to five cycles later, so fewer than ten accumulators
// would wait for their own sums.
#ifdef __AVX512F__
constexpr int kTileRows = 8;
constexpr int64_t kQueryBlock = 64, kKeyBlock = 128;
#else
constexpr int kTileRows = 6;
constexpr int64_t kQueryBlock = 96, kKeyBlock = 96;
#endif
constexpr int64_t kPanel = 2 * kLanes;  // columns of a tile
static_assert(kQueryBlock % kLanes == 0 && kKeyBlock % kPanel == 0);
static_assert(kQueryBlock % kTileRows == 0 && kKeyBlock % kTileRows == 0);
// A block of keys starts where a block of queries starts. So either no query of a block comes before the first key of a
// block of keys, or all of them do.
static_assert(kKeyBlock % kQueryBlock == 0);

// Sets `c` (kRows, columns) to `a` (kRows, k) * `b` (k, columns), or adds the product to c if `add`. `columns` is a
// multiple of kLanes. b consists of panels of kPanel columns; each panel starts b_panel elements after the previous
// one.
template <int kRows>
inline void multiply_columns(int64_t columns, int64_t k, const Real* a, int64_t a_row, int64_t a_column, const Real* b,
                             int64_t b_row, int64_t b_panel, Real* c, int64_t c_row, bool add) {
  for (; columns > kLanes; columns -= kPanel, b += b_panel, c += kPanel)
    multiply_tile<kRows, 2>(k, a, a_row, a_column, b, b_row, c, c_row, add);
  if (columns > 0) multiply_tile<kRows, 1>(k, a, a_row, a_column, b, b_row, c, c_row, add);
}

// Copies x (rows, D) to the first rows and columns of out (padded_rows, padded) and sets the rest to zero.
inline void copy_rows(Real* out, int64_t padded, int64_t padded_rows, const Real* x, int64_t x_row, int64_t rows,
                      int64_t D) {
  for (int64_t i = 0; i < rows; ++i) {
#pragma omp simd
    for (int64_t d = 0; d < D; ++d) out[i * padded + d] = x[i * x_row + d];
    for (int64_t d = D; d < padded; ++d) out[i * padded + d] = 0;
  }
  std::fill(out + rows * padded, out + padded_rows * padded, Real{0});
}

// Copies the rows of x (rows, D) to the columns of panels: out[panel][d][column]. A panel has `width` columns, a
// multiple of kLanes. Columns from `rows` up to padded_rows (rounded up to whole vectors) become zero.
inline void transpose_to_panels(Real* out, int64_t width, int64_t padded_rows, const Real* x, int64_t x_row,
                                int64_t rows, int64_t D) {
  for (int64_t first = 0; first < padded_rows; first += kLanes) {
    Real* to = out + first / width * (width * D) + first % width;
    const Real* from = x + first * x_row;
    int64_t d = 0;
    if (first + kLanes <= rows)
      for (; d + kLanes <= D; d += kLanes) transpose_square(to + d * width, width, from + d, x_row);
    for (; d < D; ++d)
      for (int64_t j = 0; j < kLanes; ++j) to[d * width + j] = first + j < rows ? from[j * x_row + d] : Real{0};
  }
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
