#pragma once
// Matrix products with operands rounded to bf16 and sums in float. CPUs with AMX or AVX512-BF16 compute them faster
// than products of floats. Products of two bf16 numbers are exact in float, so the kernels' results differ only because
// they sum in different orders, and because the instructions treat subnormal numbers as zeros.
#include <cstdint>
#include <span>

namespace gptmoe::cpu_f32 {

// A line is a row of `a` or a column of `b`. A packed operand is a sequence of strips of 16 lines, and a strip is a
// sequence of blocks of depth 32. A pair is two elements of a line that are neighbours in depth; they share a 32-bit
// word, the first in its low half. A block of `a` is laid out as (line, pair), and a block of `b` as (pair, line).
constexpr int64_t kLines = 16, kPairs = 16, kBlockDepth = 2 * kPairs, kBlockPairs = kLines * kPairs;

// One or two strips of a packed operand.
struct Strips {
  const uint32_t* first;
  int count;
  int64_t step;  // words from the first strip to the second
};

struct Bf16Kernel {
  const char* name;  // "AMX", "AVX512-BF16" or "emulated, slower than f32"
  // Called on the multiplying thread: begin() before its first tile, end() after its last one.
  void (*begin)();
  void (*end)();
  // Sets `c` (16 * a.count, 16 * b.count) to a * b over the first `blocks` blocks of the strips, or adds the product to
  // c if `add`.
  void (*multiply)(int64_t blocks, const Strips& a, const Strips& b, float* c, int64_t ldc, bool add);
};

// The kernels in this build that this machine can run, fastest first.
std::span<const Bf16Kernel> bf16_kernels();

// Like gemm_builtin(), but rounds the operands to the nearest bf16. Each operand has one stride of 1; k > 0.
void gemm_bf16(const Bf16Kernel& kernel, int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row,
               int64_t a_column, const float* b, int64_t b_row, int64_t b_column, float* c, int64_t ldc, bool add);

}  // namespace gptmoe::cpu_f32
