#pragma once
#include <cuda_runtime.h>

#include "kernels/ops.h"

namespace gptmoe::cuda {

// The stream on which these Ops, whose kernels must be CudaKernels, do their work.
cudaStream_t stream_of(const Ops& ops);

}  // namespace gptmoe::cuda
