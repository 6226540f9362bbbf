#pragma once
// Causal attention whose products round their operands to bf16 (gemm_bf16.h). The softmax and all sums are in float.
// Like attention.cpp, it works on blocks with an online softmax.
#include "kernels/cpu/attention_shape.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

// Computes the op attention_forward: sets out (B, T, H, D) and lse (B, H, T) from qkv (B, T, S, D).
void attention_forward_bf16(int threads, const AttentionShape& s, Real* out, Real* lse, const Real* qkv);

// Computes the op attention_backward: sets dqkv (B, T, S, D).
void attention_backward_bf16(int threads, const AttentionShape& s, Real* dqkv, const Real* dout, const Real* out,
                             const Real* lse, const Real* qkv);

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
