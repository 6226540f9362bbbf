#ifndef GPTMOE_CPU_F64
#include "kernels/cpu/gemm_bf16_pack.h"

#include <algorithm>
#include <array>

#include "base/bf16.h"
#include "kernels/cpu/gemm_bf16.h"
#include "kernels/cpu/vector.h"

#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

namespace gptmoe::cpu_f32 {
namespace {

#ifdef __AVX512BF16__

// The first `count` floats at x (none if `count` is negative, and at most 16), followed by zeros.
__m512 load_up_to(const float* x, int64_t count) {
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << std::clamp<int64_t>(count, 0, 16)) - 1), x);
}

// Rounds 32 floats. The instruction turns subnormal numbers into zeros, and so do the instructions that multiply.
__m512i round_floats(__m512 first, __m512 second) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
}

// Rounds lines that are contiguous in memory and writes them to `out` (line, pair).
void round_along(uint32_t* out, const Lines& x, int64_t lines, int64_t depth) {
  for (int64_t i = 0; i < lines; ++i, out += kPairs) {
    const float* line = x.at(i, 0).data;
    _mm512_storeu_si512(out, round_floats(load_up_to(line, depth), load_up_to(line + kPairs, depth - kPairs)));
  }
  std::fill_n(out, (kLines - lines) * kPairs, 0);
}

// Rounds lines that are interleaved in memory and writes them to `out` (pair, line).
void round_across(uint32_t* out, const Lines& x, int64_t lines, int64_t depth) {
  // The low halves of the words come from the first 16 numbers, and the high halves from the others.
  alignas(64) static constexpr auto kOrder = [] {
    std::array<uint16_t, 2 * kLines> order{};
    for (uint16_t i = 0; i < order.size(); ++i) order[i] = static_cast<uint16_t>(i / 2 + i % 2 * kLines);
    return order;
  }();
  const __m512i order = _mm512_load_si512(kOrder.data());
  for (int64_t p = 0; p < kBlockDepth; p += 2, out += kLines)
    _mm512_storeu_si512(
        out, _mm512_permutexvar_epi16(order, round_floats(load_up_to(x.at(0, p).data, p < depth ? lines : 0),
                                                          load_up_to(x.at(0, p + 1).data, p + 1 < depth ? lines : 0))));
}

#else

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

#endif

// Transposes with vectors of floats, which can move any 32-bit values.
void transpose_block(uint32_t* out, const uint32_t* x) {
  static_assert(kLines == kPairs && kLines % kLanes == 0);
  for (int64_t i = 0; i < kLines; i += kLanes)
    for (int64_t j = 0; j < kPairs; j += kLanes)
      transpose_square(reinterpret_cast<float*>(out) + j * kLines + i, kLines,
                       reinterpret_cast<const float*>(x) + i * kPairs + j, kPairs);
}

}  // namespace

void pack_bf16(uint32_t* out, const Lines& x, int64_t lines, int64_t depth, bool pairs_inside) {
  const bool along = x.depth == 1;
  const int64_t blocks = (depth + kBlockDepth - 1) / kBlockDepth;
  alignas(64) uint32_t turned[kBlockPairs];
  const auto pack_block = [&](int64_t i, int64_t p) {
    uint32_t* const packed = out + (i / kLines * blocks + p / kBlockDepth) * kBlockPairs;
    uint32_t* const rounded = along == pairs_inside ? packed : turned;
    (along ? round_along : round_across)(rounded, x.at(i, p), std::min(kLines, lines - i),
                                         std::min(kBlockDepth, depth - p));
    if (rounded == turned) transpose_block(packed, turned);
  };
  // Reads along the operand's rows in memory, so that the CPU fetches ahead.
  if (along) {
    for (int64_t i = 0; i < lines; i += kLines)
      for (int64_t p = 0; p < depth; p += kBlockDepth) pack_block(i, p);
  } else {
    for (int64_t p = 0; p < depth; p += kBlockDepth)
      for (int64_t i = 0; i < lines; i += kLines) pack_block(i, p);
  }
}

}  // namespace gptmoe::cpu_f32
#endif
