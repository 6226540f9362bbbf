#pragma once
// Loads cuBLASLt when a CUDA backend is made. Mapping and relocating its hundreds of megabytes at the start of the
// program would slow down a run on the CPU or `gptmoe report`. The rest of CUDA is linked statically.
#include <cublasLt.h>

namespace gptmoe::cuda {

// The address of a function of the library. Throws Failure if the library is not found or lacks the function.
void* cublaslt_symbol(const char* name);

}  // namespace gptmoe::cuda

// CUBLASLT(cublasLtMatmul)(...) calls cublasLtMatmul(...).
#define CUBLASLT(function)                                                                                         \
  ([] {                                                                                                            \
    static const auto address = reinterpret_cast<decltype(&function)>(::gptmoe::cuda::cublaslt_symbol(#function)); \
    return address;                                                                                                \
  }())
