#pragma once
// How evenly the assignments of a MoE layer are spread over its experts.
#include <cstdint>
#include <vector>

namespace gptmoe {

// An expert that gets less than this fraction of its fair share of the assignments counts as dead.
inline constexpr double kDeadShare = 0.1;

// For one layer: each expert's share of the layer's assignments, times E (1 = fair). If a router lets the number of
// experts per token vary, the logged shares do not sum to 1; the result is relative to their sum.
std::vector<double> relative_load(const std::vector<double>& shares);
// The number of experts that get less than kDeadShare of their fair share.
int64_t dead_experts(const std::vector<double>& shares);

}  // namespace gptmoe
