#pragma once
// What a GPU makes of a run's sizes, known from the config alone.
#include <string>
#include <vector>

#include "config/config.h"
#include "kernels/ops.h"

namespace gptmoe {

// Throws UserError at the first size that the CUDA backend does not take, naming its place, value and limit.
void require_cuda_shapes(const Config& config);

// Sizes that `ops` take but are slow with, a line each with what is better: "model.head_dim 20: ...".
std::vector<std::string> slow_paths(const Config& config, Ops& ops);

}  // namespace gptmoe
