#pragma once
// Predicts the kernels of the CUDA backend: which kernels a call of an op launches, what they compute and move, and how
// long they take on a GPU. Nothing here is measured.
#include <string>
#include <vector>

#include "kernels/op_call.h"
#include "predict/gpu.h"

namespace gptmoe {

// What limits a kernel. Each kind reaches a share of the GPU's rates; limit_reason() states the share and the reason.
enum class Limit {
  library_product,   // products of cuBLASLt
  expert_product,    // our grouped products
  attention,         // our attention
  hopper_product,    // our grouped products by Hopper's kernels
  hopper_attention,  // our attention by Hopper's kernels
  stream,            // reads and writes whole tensors in order
  gather,            // finds rows by index, or has other work between its loads
  vector,            // arithmetic on ordinary cores
  chain,             // loads that wait for each other
};
constexpr int kLimits = 9;
const char* limit_name(Limit limit);
// One sentence: the assumed share of the GPU's rates, and why.
std::string limit_reason(Limit limit);

struct KernelEstimate {
  std::string name;  // without "_kernel"
  Limit limit;
  int64_t launches;
  double flops, bytes;     // that the kernel computes and moves, which may be more than the op must
  double seconds;          // of all launches, without the gaps between them
  std::string tiles = {};  // of Hopper's kernels: "128 x 256 x 64, 4 stages, 192 KiB"
};

// The kernels of a call. live_share: the share of the R sorted rows that are live (moe_ops.inc). An expert is assumed
// to have R / E live rows, and its last tile of rows to be half empty.
std::vector<KernelEstimate> kernels_of(const OpCall& call, const Gpu& gpu, double live_share);

}  // namespace gptmoe
