#pragma once
// Limits of the CUDA backend. Its kernels assert these limits; code that plans a run without a device reads them. Sizes
// are in elements unless stated otherwise.
#include <cstdint>

namespace gptmoe::cuda {

// The bytes of shared memory that a block can have on every GPU of compute capability 8.0 and up.
constexpr int64_t kSharedBytesEverywhere = int64_t{99} << 10;
// Attention heads may have any width up to kMaxHeadDim. Tensor cores handle bf16 heads whose width is a multiple of
// kVector, up to kMaxTensorHeadDim. Heads wider than kMaxTensorHeadDim need kWideHeadSharedBytes of shared memory per
// block. Compute capability 8.0, 9.0 and 10.0 have that much; 8.6, 8.9 and 12.0 do not.
constexpr int64_t kMaxHeadDim = 256, kMaxTensorHeadDim = 128, kWideHeadSharedBytes = int64_t{140} << 10;
// If a row's width is a multiple of kVector, bf16 rows move 16 bytes at a time and tensor cores multiply them.
constexpr int64_t kVector = 8;
// The maximum number of experts: each warp of the sort by expert keeps a counter per expert in shared memory.
constexpr int64_t kMostExperts = 3072;

// Memory that CudaKernels allocates in addition to the arenas: for partial results of its kernels, and the workspace
// that NVIDIA recommends for cuBLASLt on Hopper.
constexpr int64_t kWorkspaceFloats = int64_t{16} << 20, kMatmulWorkspaceBytes = int64_t{32} << 20;
constexpr int64_t kWorkspaceBytes = kWorkspaceFloats * 4 + kMatmulWorkspaceBytes;
// The maximum number of bytes that one memset zeroes: a CUDA graph may keep sizes in 32 bits.
constexpr int64_t kMemsetBytes = int64_t{1} << 31;
// The maximum number of tokens in a micro-batch: the embedding's backward sorts the tokens in the workspace, and sums
// rows in the rest of the workspace.
constexpr int64_t kMostTokens = int64_t{3} << 20;

}  // namespace gptmoe::cuda
