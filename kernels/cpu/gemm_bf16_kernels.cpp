#ifndef GPTMOE_CPU_F64
#include <vector>

#include "base/bf16.h"
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/cpu/thread_buffer.h"
#include "kernels/cpu/tile.h"

#if defined(__AVX512BF16__) || defined(__AMX_BF16__)
#include <immintrin.h>
#endif
#if defined(__AMX_BF16__) && defined(__linux__)
#define GPTMOE_AMX
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace gptmoe::cpu_f32 {
namespace {

void nothing() {}

// Calls multiply<a.count, b.count>(arguments), for a kernel whose template arguments are the strip counts.
#define GPTMOE_BY_STRIPS(multiply, ...)                                 \
  if (a.count == 2 && b.count == 2) return multiply<2, 2>(__VA_ARGS__); \
  if (a.count == 2) return multiply<2, 1>(__VA_ARGS__);                 \
  if (b.count == 2) return multiply<1, 2>(__VA_ARGS__);                 \
  return multiply<1, 1>(__VA_ARGS__)

#ifdef GPTMOE_AMX

// Eight tile registers, each 16 rows of 64 bytes. 0 to 3 hold c's tiles, ordered by row strip, then column strip; 4 and
// 5 hold a's strips; 6 and 7 hold b's.
void amx_begin() {
  struct alignas(64) Configuration {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  static_assert(sizeof(Configuration) == 64);
  static const Configuration configuration;
  _tile_loadconfig(&configuration);
}

void amx_end() { _tile_release(); }

// Linux lets a process use the tile registers only after the process asks for permission.
bool amx_permitted() {
  constexpr long kRequest = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequest, kTileData) == 0;
}

template <int kA, int kB>
void amx_tile(int64_t blocks, const Strips& a, const Strips& b, float* c, int64_t ldc, bool add) {
  constexpr int kRow = 64;
  const int64_t c_row = ldc * static_cast<int64_t>(sizeof(float));
  float* const lower = c + kLines * ldc;
  if (add) {
    _tile_loadd(0, c, c_row);
    if constexpr (kB == 2) _tile_loadd(1, c + kLines, c_row);
    if constexpr (kA == 2) _tile_loadd(2, lower, c_row);
    if constexpr (kA == 2 && kB == 2) _tile_loadd(3, lower + kLines, c_row);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const uint32_t *rows = a.first, *columns = b.first;
  for (int64_t block = 0; block < blocks; ++block, rows += kBlockPairs, columns += kBlockPairs) {
    _tile_loadd(4, rows, kRow);
    _tile_loadd(6, columns, kRow);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kB == 2) {
      _tile_loadd(7, columns + b.step, kRow);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (kA == 2) {
      _tile_loadd(5, rows + a.step, kRow);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (kB == 2) _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, c, c_row);
  if constexpr (kB == 2) _tile_stored(1, c + kLines, c_row);
  if constexpr (kA == 2) _tile_stored(2, lower, c_row);
  if constexpr (kA == 2 && kB == 2) _tile_stored(3, lower + kLines, c_row);
}

void amx_multiply(int64_t blocks, const Strips& a, const Strips& b, float* c, int64_t ldc, bool add) {
  GPTMOE_BY_STRIPS(amx_tile, blocks, a, b, c, ldc, add);
}

#endif
#ifdef __AVX512BF16__

// Computes eight rows at a time, with 16 accumulators for 32 columns.
template <int kA, int kB>
void avx512_tile(int64_t blocks, const Strips& a, const Strips& b, float* c, int64_t ldc, bool add) {
  constexpr int kRows = 8;
  for (int first = 0; first < kA * kLines; first += kRows, c += kRows * ldc) {
    const uint32_t* rows = a.first + first / kLines * a.step + first % kLines * kPairs;
    __m512 sums[kRows][kB];
#pragma GCC unroll 8
    for (auto& row : sums)
#pragma GCC unroll 2
      for (__m512& sum : row) sum = _mm512_setzero_ps();
    for (int64_t block = 0; block < blocks; ++block) {
      for (int64_t pair = 0; pair < kPairs; ++pair) {
        __m512bh columns[kB];
#pragma GCC unroll 2
        for (int s = 0; s < kB; ++s)
          columns[s] = reinterpret_cast<__m512bh>(
              _mm512_loadu_si512(b.first + s * b.step + block * kBlockPairs + pair * kLines));
#pragma GCC unroll 8
        for (int i = 0; i < kRows; ++i) {
          const auto row = reinterpret_cast<__m512bh>(
              _mm512_set1_epi32(static_cast<int>(rows[block * kBlockPairs + i * kPairs + pair])));
#pragma GCC unroll 2
          for (int s = 0; s < kB; ++s) sums[i][s] = _mm512_dpbf16_ps(sums[i][s], row, columns[s]);
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
#pragma GCC unroll 2
      for (int s = 0; s < kB; ++s) {
        float* const out = c + i * ldc + s * kLines;
        _mm512_storeu_ps(out, add ? _mm512_add_ps(_mm512_loadu_ps(out), sums[i][s]) : sums[i][s]);
      }
  }
}

void avx512_multiply(int64_t blocks, const Strips& a, const Strips& b, float* c, int64_t ldc, bool add) {
  GPTMOE_BY_STRIPS(avx512_tile, blocks, a, b, c, ldc, add);
}

#endif

// Widens both operands to float and multiplies them.
void emulated_multiply(int64_t blocks, const Strips& a, const Strips& b, float* c, int64_t ldc, bool add) {
  constexpr int kVectors = kLines / kLanes, kRows = kVectors == 1 ? 8 : 4;
  static thread_local ThreadBuffer buffer;
  const int64_t depth = blocks * kBlockDepth;
  float* const rows = buffer.get((a.count + b.count) * kLines * depth);  // (line, depth)
  float* const columns = rows + a.count * kLines * depth;                // (depth, line) of each strip
  for (int64_t strip = 0; strip < a.count; ++strip) {
    const uint32_t* word = a.first + strip * a.step;
    for (int64_t block = 0; block < blocks; ++block)
      for (int64_t line = 0; line < kLines; ++line, word += kPairs) {
        float* const out = rows + (strip * kLines + line) * depth + block * kBlockDepth;
        for (int64_t pair = 0; pair < kPairs; ++pair)
          out[2 * pair] = bf16_value(static_cast<uint16_t>(word[pair])),
                  out[2 * pair + 1] = bf16_value(static_cast<uint16_t>(word[pair] >> 16));
      }
  }
  float* out = columns;
  for (int64_t strip = 0; strip < b.count; ++strip) {
    const uint32_t* word = b.first + strip * b.step;
    for (int64_t pair = 0; pair < depth / 2; ++pair, word += kLines, out += 2 * kLines)
      for (int64_t line = 0; line < kLines; ++line)
        out[line] = bf16_value(static_cast<uint16_t>(word[line])),
        out[kLines + line] = bf16_value(static_cast<uint16_t>(word[line] >> 16));
  }
  for (int64_t strip = 0; strip < b.count; ++strip)
    for (int64_t row = 0; row < a.count * kLines; row += kRows)
      multiply_tile<kRows, kVectors>(depth, rows + row * depth, depth, 1, columns + strip * kLines * depth, kLines,
                                     c + row * ldc + strip * kLines, ldc, add);
}

std::vector<Bf16Kernel> kernels_here() {
  std::vector<Bf16Kernel> kernels;
#ifdef GPTMOE_AMX
  if (amx_permitted()) kernels.push_back({"AMX", amx_begin, amx_end, amx_multiply});
#endif
#ifdef __AVX512BF16__
  kernels.push_back({"AVX512-BF16", nothing, nothing, avx512_multiply});
#endif
  kernels.push_back({"emulated, slower than f32", nothing, nothing, emulated_multiply});
  return kernels;
}

}  // namespace

std::span<const Bf16Kernel> bf16_kernels() {
  static const std::vector<Bf16Kernel> kernels = kernels_here();
  return kernels;
}

}  // namespace gptmoe::cpu_f32
#endif
