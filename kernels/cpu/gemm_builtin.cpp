#include "kernels/cpu/gemm_builtin.h"

#include <algorithm>

#include "kernels/cpu/thread_buffer.h"
#include "kernels/cpu/tile.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {
namespace {

// The accumulators of a register tile take 24 of the 32 registers with AVX-512, and 12 of the 16 without it.
#ifdef __AVX512F__
constexpr int kTileRows = 12;
#else
constexpr int kTileRows = 6;
#endif
constexpr int64_t kTileColumns = 2 * kLanes;
// Cache blocks: a strip of `b` (depth, kTileColumns) stays in L1, a block of `a` (kRows, depth) in L2, a block of `b`
// in L3.
constexpr int64_t kDepth = (24 << 10) / (kTileColumns * sizeof(Real));
constexpr int64_t kRows = 16 * kTileRows;
constexpr int64_t kColumns = 32 * kTileColumns;

struct Matrix {
  const Real* data;
  int64_t row, column;  // strides
  Matrix at(int64_t i, int64_t j) const { return {data + i * row + j * column, row, column}; }
};

// Copies `b` (depth, columns) to out[strip][depth][column], kTileColumns columns per strip. The last strip is filled up
// with zeros.
void pack_b(Real* out, const Matrix& b, int64_t depth, int64_t columns) {
  for (int64_t first = 0; first < columns; first += kTileColumns, out += kTileColumns * depth) {
    const Matrix strip = b.at(0, first);
    const int64_t used = std::min(kTileColumns, columns - first);
    int64_t p = 0;
    if (used == kTileColumns && b.column == 1) {
      for (; p < depth; ++p)
        for (int64_t j = 0; j < kTileColumns; j += kLanes) store(out + p * kTileColumns + j, load(strip.at(p, j).data));
    } else if (used == kTileColumns && b.row == 1) {
      for (; p + kLanes <= depth; p += kLanes)
        for (int64_t j = 0; j < kTileColumns; j += kLanes)
          transpose_square(out + p * kTileColumns + j, kTileColumns, strip.at(p, j).data, b.column);
    }
    for (; p < depth; ++p)
      for (int64_t j = 0; j < kTileColumns; ++j) out[p * kTileColumns + j] = j < used ? *strip.at(p, j).data : Real{0};
  }
}

// Copies `a` (rows, depth), whose columns are contiguous, to out[strip][depth][row], kTileRows rows per strip. A tile's
// elements then come from few pages and cache lines. If the rows of `a` are contiguous, `a` is read in place instead.
void pack_a(Real* out, const Matrix& a, int64_t rows, int64_t depth) {
  constexpr int64_t kWhole = (kTileRows + kLanes - 1) / kLanes * kLanes;
  for (int64_t first = 0; first < rows; first += kTileRows, out += kTileRows * depth) {
    const Real* strip = a.at(first, 0).data;
    const int64_t used = std::min<int64_t>(kTileRows, rows - first);
    int64_t p = 0;
    if (first + kWhole <= rows)  // whole vectors: the next copy overwrites the excess
      for (; p + 1 < depth; ++p)
        for (int64_t i = 0; i < kTileRows; i += kLanes) store(out + p * kTileRows + i, load(strip + p * a.column + i));
    for (; p < depth; ++p) std::copy_n(strip + p * a.column, used, out + p * kTileRows);
  }
}

// A tile that is kVectors vectors wide and has 1 to kTileRows rows.
template <int kVectors, int kMost = kTileRows>
void multiply_rows(int64_t rows, int64_t depth, const Matrix& a, const Real* b, Real* c, int64_t ldc, bool add) {
  if constexpr (kMost > 1) {
    if (rows < kMost) return multiply_rows<kVectors, kMost - 1>(rows, depth, a, b, c, ldc, add);
  }
  multiply_tile<kMost, kVectors>(depth, a.data, a.row, a.column, b, kTileColumns, c, ldc, add);
}

// Computes `c` (rows <= kTileRows, columns <= kTileColumns) from `a` and a strip of `b`.
void multiply_edge(Real* c, int64_t ldc, int64_t rows, int64_t columns, int64_t depth, const Matrix& a, const Real* b,
                   bool add) {
  if (columns == kTileColumns) return multiply_rows<2>(rows, depth, a, b, c, ldc, add);
  alignas(64) Real edge[kTileRows * kTileColumns];
  if (columns <= kLanes)
    multiply_rows<1>(rows, depth, a, b, edge, kTileColumns, false);
  else
    multiply_rows<2>(rows, depth, a, b, edge, kTileColumns, false);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      c[i * ldc + j] = edge[i * kTileColumns + j] + (add ? c[i * ldc + j] : Real{0});
}

// Computes `c` (rows, columns) from `a`, whose strips of kTileRows rows are a_strip apart, and from packed strips of
// `b`.
void multiply_block(Real* c, int64_t ldc, int64_t rows, int64_t columns, int64_t depth, const Matrix& a,
                    int64_t a_strip, const Real* b, bool add) {
  for (int64_t j = 0; j < columns; j += kTileColumns) {
    Matrix strip = a;
    for (int64_t i = 0; i < rows; i += kTileRows, strip.data += a_strip) {
      Real* const tile = c + i * ldc + j;
      for (int64_t row = 0; row < std::min<int64_t>(kTileRows, rows - i); ++row)
        __builtin_prefetch(tile + row * ldc, 1);
      if (rows - i >= kTileRows && columns - j >= kTileColumns)
        multiply_tile<kTileRows, 2>(depth, strip.data, strip.row, strip.column, b + j * depth, kTileColumns, tile, ldc,
                                    add);
      else
        multiply_edge(tile, ldc, std::min<int64_t>(kTileRows, rows - i), std::min(kTileColumns, columns - j), depth,
                      strip, b + j * depth, add);
    }
  }
}

// ---- Few rows ------------------------------------------------------------------------------------
// If `a` has few rows, copying `b` into strips costs too much. If b's columns are contiguous in depth, as a layer's
// weights are, b is read in place: c^T = b^T a^T. Then b's columns are the rows of register tiles, and a's few rows are
// the strips. Tiles are transposed on their way to c.

constexpr int64_t kFewest = kLanes + 1, kFewRows = 64;  // below kFewest rows, most of a strip would be empty
constexpr int64_t kGroup = 48;                          // columns of b at a time
static_assert(kGroup % kTileRows == 0 && kGroup % kLanes == 0 && kTileColumns % kLanes == 0);
static_assert(kFewRows <= kColumns);

// Prefetches the cache lines of consecutive rows (rows, depth), some lines per call.
struct LinesAhead {
  const Real* row;
  int64_t step, rows, depth, at = 0;

  void ask(int64_t lines) {
    for (; lines > 0 && rows > 0; --lines) {
      __builtin_prefetch(row + at);
      at += 64 / static_cast<int64_t>(sizeof(Real));
      if (at < depth) continue;
      at = 0, row += step, --rows;
    }
  }
};

// Sets `c` (rows, columns <= kGroup) to the transposed tiles (columns, kTileColumns), or adds them to c if `add`.
void store_turned(Real* c, int64_t ldc, int64_t rows, int64_t columns, const Real* tiles, bool add) {
  alignas(64) Real edge[kTileColumns * kGroup];
  const bool whole = rows == kTileColumns && columns == kGroup && !add;
  Real* const out = whole ? c : edge;
  const int64_t out_row = whole ? ldc : kGroup;
  for (int64_t j = 0; j < kGroup; j += kLanes)
    for (int64_t i = 0; i < kTileColumns; i += kLanes)
      transpose_square(out + i * out_row + j, out_row, tiles + j * kTileColumns + i, kTileColumns);
  if (whole) return;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) c[i * ldc + j] = edge[i * kGroup + j] + (add ? c[i * ldc + j] : Real{0});
}

// Computes `c` (m, n) from `a` and from `b`, whose row stride is 1.
void multiply_few_rows(int64_t m, int64_t n, int64_t k, const Matrix& a, const Matrix& b, Real* c, int64_t ldc,
                       bool add, Real* packed) {
  alignas(64) Real tiles[kGroup * kTileColumns] = {};
  const int64_t blocks = (k + kDepth - 1) / kDepth, strips = (m + kTileColumns - 1) / kTileColumns;
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t p = k * block / blocks, depth = k * (block + 1) / blocks - p;
    pack_b(packed, {a.at(0, p).data, a.column, a.row}, depth, m);
    const int64_t lines = (depth * static_cast<int64_t>(sizeof(Real)) + 63) / 64;
    for (int64_t j = 0; j < n; j += kGroup) {
      const int64_t columns = std::min(kGroup, n - j);
      LinesAhead next{b.at(p, j + kGroup).data, b.column, std::min(kGroup, n - j - kGroup), depth};
      for (int64_t strip = 0; strip < strips; ++strip) {
        for (int64_t r = 0; r < columns; r += kTileRows) {
          next.ask((kTileRows * lines + strips - 1) / strips);
          multiply_rows<2>(std::min<int64_t>(kTileRows, columns - r), depth, {b.at(p, j + r).data, b.column, 1},
                           packed + strip * kTileColumns * depth, tiles + r * kTileColumns, kTileColumns, false);
        }
        const int64_t i = strip * kTileColumns;
        store_turned(c + i * ldc + j, ldc, std::min(kTileColumns, m - i), columns, tiles, add || p > 0);
      }
    }
  }
}

}  // namespace

void gemm_builtin(int64_t m, int64_t n, int64_t k, const Real* a, int64_t a_row, int64_t a_column, const Real* b,
                  int64_t b_row, int64_t b_column, Real* c, int64_t ldc, bool add) {
  static thread_local ThreadBuffer buffer;
  Real* packed_b = buffer.get((kRows + kColumns) * kDepth);
  if (m >= kFewest && m <= kFewRows && n >= kGroup && b_row == 1)
    return multiply_few_rows(m, n, k, {a, a_row, a_column}, {b, b_row, b_column}, c, ldc, add, packed_b);
  Real* packed_a = packed_b + kColumns * kDepth;
  // All blocks have equal depth: a shallow last block would read and write c for little work.
  const int64_t blocks = (k + kDepth - 1) / kDepth;
  const bool packs_a = a_column != 1;
  for (int64_t j = 0; j < n; j += kColumns) {
    const int64_t columns = std::min(kColumns, n - j);
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t p = k * block / blocks, depth = k * (block + 1) / blocks - p;
      pack_b(packed_b, Matrix{b, b_row, b_column}.at(p, j), depth, columns);
      for (int64_t i = 0; i < m; i += kRows) {
        const int64_t rows = std::min(kRows, m - i);
        Matrix rows_of_a = Matrix{a, a_row, a_column}.at(i, p);
        int64_t a_strip = kTileRows * a_row;
        if (packs_a) {
          pack_a(packed_a, rows_of_a, rows, depth);
          rows_of_a = {packed_a, 1, kTileRows};
          a_strip = kTileRows * depth;
        }
        multiply_block(c + i * ldc + j, ldc, rows, columns, depth, rows_of_a, a_strip, packed_b, add || p > 0);
      }
    }
  }
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
