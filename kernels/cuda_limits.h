#pragma once
// What the CUDA backend takes: for its kernels, which assert it, and for those who plan a run before, or without, a
// device. Sizes in elements unless they say otherwise.
#include <cstdint>

namespace gptmoe::cuda {

// Shared memory that a block gets on every GPU of compute capability 8.0 and up.
constexpr int64_t kSharedBytesEverywhere = int64_t{99} << 10;
// Heads: any width up to the first; on tensor cores, in bf16, multiples of kVector up to the second. Wider ones than
// that need so much shared memory a block, which 8.0, 9.0 and 10.0 have but not 8.6, 8.9 or 12.0.
constexpr int64_t kMaxHeadDim = 256, kMaxTensorHeadDim = 128, kWideHeadSharedBytes = int64_t{140} << 10;
// Rows of bf16 move 16 bytes at a time, and tensor cores multiply them, where their width is a multiple of this.
constexpr int64_t kVector = 8;
// Each warp of the sort keeps a counter per expert in shared memory.
constexpr int64_t kMostExperts = 3072;

// What CudaKernels holds beside the arenas: partial results of its kernels, and what NVIDIA recommends that cuBLASLt
// have on Hopper.
constexpr int64_t kWorkspaceFloats = int64_t{16} << 20, kMatmulWorkspaceBytes = int64_t{32} << 20;
constexpr int64_t kWorkspaceBytes = kWorkspaceFloats * 4 + kMatmulWorkspaceBytes;
// Tokens of a micro-batch: the embedding's backward sorts them in the workspace, and sums rows in what that leaves.
constexpr int64_t kMostTokens = int64_t{3} << 20;

}  // namespace gptmoe::cuda
