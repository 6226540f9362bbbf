#pragma once
// Rounds an operand of a bf16 product and packs it in the layout that gemm_bf16.h describes.
#include <cstdint>

namespace gptmoe::cpu_f32 {

// An operand as lines along the depth: the rows of `a`, or the columns of `b`.
struct Lines {
  const float* data;
  int64_t line, depth;  // strides; one of them is 1
  Lines at(int64_t i, int64_t p) const { return {data + i * line + p * depth, line, depth}; }
};

// Packs `lines` lines of `x`, each `depth` long. Strips and blocks at the edges are filled up with zeros. Blocks are
// laid out as (line, pair) if `pairs_inside`, as a block of `a` is, else as (pair, line).
void pack_bf16(uint32_t* out, const Lines& x, int64_t lines, int64_t depth, bool pairs_inside);

}  // namespace gptmoe::cpu_f32
