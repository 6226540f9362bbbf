#pragma once
// What a GPU makes of a run's sizes, known from the config alone.
#include <string>
#include <vector>

#include "config/config.h"
#include "kernels/ops.h"

namespace gptmoe {

// Throws UserError at the first size that the CUDA backend does not take, naming its place, value and limit.
// `widest_head` is the GPU's, or cuda::kMaxHeadDim where there is none to ask.
void require_cuda_shapes(const Config& config, int64_t widest_head);

// Sizes that `ops` take but are slow with, a line each with what is better: "model.head_dim 20: ...".
std::vector<std::string> slow_paths(const Config& config, const Ops& ops);

}  // namespace gptmoe
