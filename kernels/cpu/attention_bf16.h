#pragma once
// Attention whose products round their operands to bf16 (gemm_bf16.h). The softmax is in float, and so are all sums.
// Causal, with blocks and an online softmax as in attention.cpp.
#include "kernels/cpu/attention_shape.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

// As the op attention_forward: sets out (B, T, H, D) and lse (B, H, T) from qkv (B, T, S, D).
void attention_forward_bf16(int threads, const AttentionShape& s, Real* out, Real* lse, const Real* qkv);

// As the op attention_backward: sets dqkv (B, T, S, D).
void attention_backward_bf16(int threads, const AttentionShape& s, Real* dqkv, const Real* dout, const Real* out,
                             const Real* lse, const Real* qkv);

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
