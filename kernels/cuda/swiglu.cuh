#pragma once
#include "kernels/cuda/instructions.cuh"

namespace gptmoe::cuda {

// sigmoid(x) and 1 - sigmoid(x), which is accurate where sigmoid(x) rounds to 1. If T, the tensors' type, is bf16, the
// exponential and the division are approximate: two instructions instead of about twenty and a branch.
struct Sigmoid {
  float value, complement;
};
template <typename T>
__device__ Sigmoid sigmoid(float x) {
  if constexpr (std::is_same_v<T, bf16>) {
    constexpr float kLog2E = 1.4426950408889634f;
    const float e = exp2_approximate(fminf(-kLog2E * x, 126.0f)), value = reciprocal_approximate(1.0f + e);
    return {value, e * value};
  } else {
    const float e = expf(fminf(-x, 87.0f)), value = 1.0f / (1.0f + e);
    return {value, e * value};
  }
}

template <typename T>
__device__ float swiglu(float gate, float up) {
  return gate * sigmoid<T>(gate).value * up;
}

struct SwigluGradient {
  float gate, up;
};
template <typename T>
__device__ SwigluGradient swiglu_gradient(float da, float gate, float up) {
  const Sigmoid s = sigmoid<T>(gate);
  const float silu = gate * s.value;
  return {da * up * (s.value + silu * s.complement), da * silu};
}

}  // namespace gptmoe::cuda
