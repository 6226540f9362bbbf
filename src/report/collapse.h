#pragma once
// Whether routers collapse onto few experts, over the evaluations of a run.
#include "records/analysis_log.h"
#include "report/run_log.h"

namespace gptmoe {

// Of one layer: each expert's share of what the layer assigned, times E (1 = fair). Where a router lets the number of
// experts of a token float, shares as they are logged do not sum to 1.
std::vector<double> relative_load(const std::vector<double>& shares);
int64_t dead_experts(const std::vector<double>& shares);

// Of every evaluation that has expert loads.
std::vector<CollapsePoint> collapse_of(const RunLog& run);

}  // namespace gptmoe
