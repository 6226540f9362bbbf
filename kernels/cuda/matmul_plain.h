#pragma once
#include "kernels/cuda/matmul.h"

namespace gptmoe::cuda {

// Computes what Matmul::run() does, without tensor cores: slow, but for any sizes and alignments. Sums are in f32, in
// the order of the summed dimension.
void plain_product(cudaStream_t stream, Order order, const Tensor& c, const Tensor& a, const Tensor& b, Write write,
                   const Tensor& bias);

}  // namespace gptmoe::cuda
