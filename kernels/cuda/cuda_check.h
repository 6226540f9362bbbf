#pragma once
// Turns errors of the CUDA runtime into DeviceError.
#include <cuda_runtime.h>

#include "base/check.h"

namespace gptmoe::cuda {

// If `status` is an error, throws DeviceError with the failed expression, its file and line, and the runtime's message.
// Kernels run asynchronously, so any later call may report a kernel's error. The message then says how to find the
// kernel.
void check(cudaError_t status, const char* what, const char* file, int line);

}  // namespace gptmoe::cuda

#define CUDA_CHECK(expression) ::gptmoe::cuda::check((expression), #expression, __FILE__, __LINE__)
