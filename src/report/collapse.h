#pragma once
// Whether routers collapse onto few experts, at the evaluations of a run.
#include "records/analysis_log.h"
#include "report/run_log.h"

namespace gptmoe {

// For one layer: each expert's share of the layer's assignments, times E (1 = fair). If a router lets the number of
// experts per token vary, the logged shares do not sum to 1.
std::vector<double> relative_load(const std::vector<double>& shares);
int64_t dead_experts(const std::vector<double>& shares);

// One point per evaluation that has expert loads.
std::vector<CollapsePoint> collapse_of(const RunLog& run);

}  // namespace gptmoe
