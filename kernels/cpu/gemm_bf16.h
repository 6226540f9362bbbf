#pragma once
// Matrix products of operands rounded to bf16 with sums in float: what CPUs with AMX or AVX512-BF16 multiply faster
// than floats. Products of two bf16 are exact in float, so kernels differ in the order of their sums alone (and where
// numbers are subnormal, which the instructions take for zeros).
#include <cstdint>
#include <span>

namespace gptmoe::cpu_f32 {

// Packed operands are strips of 16 lines (rows of a, columns of b), each its blocks of 32 of depth one after the other.
// A block of a is (line, pair), one of b (pair, line); a pair is two neighbours in depth, the first in the low half.
constexpr int64_t kLines = 16, kPairs = 16, kBlockDepth = 2 * kPairs, kBlockPairs = kLines * kPairs;

struct Bf16Kernel {
  const char* name;  // "AMX", "AVX512-BF16" or "emulated, slower than f32"
  // On the thread that multiplies, before its first tile and after its last.
  void (*begin)();
  void (*end)();
  // c (16 a_strips, 16 b_strips) = or += a b over `blocks` blocks of depth. One or two strips of each.
  void (*multiply)(int a_strips, int b_strips, int64_t blocks, const uint32_t* a, const uint32_t* b, float* c,
                   int64_t ldc, bool add);
};

// Those that this build has and this machine runs, the fastest first.
std::span<const Bf16Kernel> bf16_kernels();

// gemm_builtin() of operands rounded to the nearest bf16, one step of each of which is 1; k > 0.
void gemm_bf16(const Bf16Kernel& kernel, int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row,
               int64_t a_column, const float* b, int64_t b_row, int64_t b_column, float* c, int64_t ldc, bool add);

}  // namespace gptmoe::cpu_f32
