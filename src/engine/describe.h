#pragma once
// Descriptions of a run before it begins: the same facts in the startup summary of `train` and in `plan`.
#include <string>

#include "engine/engine.h"

namespace gptmoe {

// "8c1 MoE (8 experts, 1 active), 4 layers (1 dense), width 128, 4 heads of 32, vocabulary 2,048".
std::string describe_model(const ModelConfig& config);
// "3,936,640 total, 1,234,560 active per token".
std::string describe_parameters(const Gpt& gpt);
// "topk", or "default {"ema_beta":0.9}".
std::string describe_router(const RouterConfig& router);
// "default vectors over 20.5 k tokens: 10 micro-batches of 2.05 k, over all ranks": the span of the router's moving
// average. Empty without a moving average or without experts.
std::string describe_average(const Config& config, int64_t ranks);
// "bf16, rounded at random": how the optimizer's moments are stored. Empty if they are in f32.
std::string describe_moments(const OptimizerConfig& config);
// "parameters 15.0 MiB, gradients 15.0 MiB, ..., 120 MiB in total".
std::string describe_memory(const Engine& engine);
// The facts of describe_memory() as lines of two columns, without a final newline.
std::string memory_table(const Engine& engine);

// Resident bytes of a run in addition to its arenas, as measured: the program with its libraries, heap and thread
// stacks. Token shards are read in parts, so their size does not count.
constexpr int64_t kProgramBytes = int64_t{16} << 20;

}  // namespace gptmoe
