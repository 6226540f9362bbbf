#pragma once
// Facts about the current GPU beside those of kernels/ops.h.
#include <cstdint>
#include <string>

namespace gptmoe {

// Multiprocessors of the current GPU; 0 in a build without CUDA.
int64_t cuda_multiprocessors();

// The newest CUDA version that the GPU's driver supports, such as "13.0"; empty in a build without CUDA.
std::string cuda_driver_version();

}  // namespace gptmoe
