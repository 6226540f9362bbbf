#pragma once
// Turns cuBLASLt errors into DeviceError.
#include "base/check.h"
#include "kernels/cuda/cublaslt_library.h"

// If the expression fails, throws DeviceError with the expression, its file and line, and the library's message.
#define CUBLAS_CHECK(expression)                                                                   \
  do {                                                                                             \
    const cublasStatus_t status_ = (expression);                                                   \
    if (status_ != CUBLAS_STATUS_SUCCESS)                                                          \
      throw ::gptmoe::DeviceError(::gptmoe::text(__FILE__, ":", __LINE__, ": " #expression ": ",   \
                                                 CUBLASLT(cublasLtGetStatusString)(status_), " (", \
                                                 CUBLASLT(cublasLtGetStatusName)(status_), ")"));  \
  } while (0)
