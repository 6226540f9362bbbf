#pragma once
// Causal grouped-query attention by the kernels for Hopper.
#include "kernels/cuda/attention.cuh"

namespace gptmoe::cuda::hopper {

// Whether these kernels take the shape: heads of 64 or 128. Tensors start at multiples of 16 bytes.
bool takes_attention(const AttentionShape& shape);
// out and lse of all queries.
void attention_forward(const AttentionShape& shape, const AttentionForward<bf16>& tensors, cudaStream_t stream);
// All of dqkv. The same bits every time.
void attention_backward(const AttentionShape& shape, const AttentionBackward<bf16>& tensors, cudaStream_t stream);

}  // namespace gptmoe::cuda::hopper
