#pragma once
// Measures at each evaluation of a run whether its routers have collapsed onto few experts.
#include "records/analysis_log.h"
#include "report/run_log.h"

namespace gptmoe {

// One point per evaluation that has expert loads.
std::vector<CollapsePoint> collapse_of(const RunLog& run);

}  // namespace gptmoe
