#pragma once
// Whether the GPU backend supports the sizes of a run, from the config alone.
#include "config/config.h"

namespace gptmoe {

// Throws UserError at the first size that the CUDA backend does not support, naming its path, value and limit.
// `widest_head` is the widest head that the GPU supports, or cuda::kMaxHeadDim without a GPU.
void require_cuda_shapes(const Config& config, int64_t widest_head);

}  // namespace gptmoe
