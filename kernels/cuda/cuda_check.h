#pragma once
// Errors of the CUDA runtime as Failure.
#include <cuda_runtime.h>

#include "base/check.h"

// Throws Failure with the expression, its place and what the runtime says.
#define CUDA_CHECK(expression)                                                                                    \
  do {                                                                                                            \
    const cudaError_t status_ = (expression);                                                                     \
    if (status_ != cudaSuccess)                                                                                   \
      throw ::gptmoe::Failure(::gptmoe::text(__FILE__, ":", __LINE__, ": " #expression ": ",                      \
                                             cudaGetErrorString(status_), " (", cudaGetErrorName(status_), ")")); \
  } while (0)

namespace gptmoe::cuda {

// Throws Failure naming the kernel when the launch, or an earlier kernel, failed.
void check_launch(cudaError_t status, const char* kernel);

}  // namespace gptmoe::cuda
