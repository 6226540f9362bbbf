#pragma once
#include "kernels/cuda/common.cuh"

namespace gptmoe::cuda {

__device__ inline float sigmoid(float x) { return 1.0f / (1.0f + __expf(-x)); }

__device__ inline float swiglu(float gate, float up) { return gate * sigmoid(gate) * up; }

struct SwigluGradient {
  float gate, up;
};
__device__ inline SwigluGradient swiglu_gradient(float da, float gate, float up) {
  const float s = sigmoid(gate), silu = gate * s;
  return {da * up * (s + silu * (1.0f - s)), da * silu};
}

}  // namespace gptmoe::cuda
