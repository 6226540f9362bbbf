#pragma once
#include <string>
#include <vector>

#include "config/config.h"
#include "kernels/ops.h"

namespace gptmoe {

// What makes a run on `ops` slower than necessary, with one line and a remedy for each cause: sizes that the GPU runs
// slowly ("model.head_dim 20: ..."), and f32 by default on a CPU that is faster in bf16.
std::vector<std::string> slow_paths(const Config& config, const Ops& ops);

}  // namespace gptmoe
