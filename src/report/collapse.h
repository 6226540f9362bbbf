#pragma once
// Whether routers collapse onto few experts, over the evaluations of a run.
#include "report/run_log.h"

namespace gptmoe {

// An expert with less than this part of its fair share of the assignments counts as dead.
inline constexpr double kDeadShare = 0.1;

// Of one layer: each expert's share of what the layer assigned, times E (1 = fair). Where a router lets the number of
// experts of a token float, shares as they are logged do not sum to 1.
std::vector<double> relative_load(const std::vector<double>& shares);
int64_t dead_experts(const std::vector<double>& shares);

// By MoE layer.
struct CollapsePoint {
  int64_t step = 0;
  int64_t tokens = 0;
  std::vector<int64_t> dead_experts;
  std::vector<double> load_max, load_min;  // relative_load
  std::vector<double> entropy_share;       // router entropy over ln E; NaN for one expert
};

// Of every evaluation that has expert loads.
std::vector<CollapsePoint> collapse_of(const RunLog& run);

// {"dead_below", "evals": [{the fields above}]}.
nlohmann::ordered_json collapse_json(const RunLog& run);

}  // namespace gptmoe
