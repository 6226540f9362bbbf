#pragma once
// Errors of the CUDA runtime as DeviceError.
#include <cuda_runtime.h>

#include "base/check.h"

namespace gptmoe::cuda {

// Throws DeviceError that says what failed, where, and what the runtime says of it. Kernels run long after they were
// asked for, so an error that one of them made may be found by any later call: the message then says how to find it.
void check(cudaError_t status, const char* what, const char* file, int line);

}  // namespace gptmoe::cuda

#define CUDA_CHECK(expression) ::gptmoe::cuda::check((expression), #expression, __FILE__, __LINE__)
