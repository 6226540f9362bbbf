#pragma once
#include <string>
#include <vector>

#include "config/config.h"
#include "kernels/ops.h"

namespace gptmoe {

// What makes a run on `ops` slower than necessary, with one line and a remedy for each cause: sizes that the GPU runs
// slowly ("model.head_dim 20: ..."), and f32 by default on a CPU that is faster in bf16. A run that has `begun` cannot
// change its precision, so it gets no line about it.
std::vector<std::string> slow_paths(const Config& config, const Ops& ops, bool begun = false);

}  // namespace gptmoe
