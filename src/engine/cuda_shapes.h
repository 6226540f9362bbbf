#pragma once
// Which sizes of a run the GPU backend does not support or runs slowly, from the config alone.
#include <string>
#include <vector>

#include "config/config.h"
#include "kernels/ops.h"

namespace gptmoe {

// Throws UserError at the first size that the CUDA backend does not support, naming its path, value and limit.
// `widest_head` is the widest head that the GPU supports, or cuda::kMaxHeadDim without a GPU.
void require_cuda_shapes(const Config& config, int64_t widest_head);

// Sizes that `ops` supports but runs slowly, one line each with a better size: "model.head_dim 20: ...".
std::vector<std::string> slow_paths(const Config& config, const Ops& ops);

}  // namespace gptmoe
