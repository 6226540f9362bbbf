#pragma once
#include <cuda_runtime.h>

#include "kernels/ops.h"

namespace gptmoe::cuda {

// The stream of these Ops, whose kernels must be CudaKernels.
cudaStream_t stream_of(const Ops& ops);

}  // namespace gptmoe::cuda
