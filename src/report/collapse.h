#pragma once
// Whether routers collapse onto few experts, at the evaluations of a run.
#include "records/analysis_log.h"
#include "report/run_log.h"

namespace gptmoe {

// One point per evaluation that has expert loads.
std::vector<CollapsePoint> collapse_of(const RunLog& run);

}  // namespace gptmoe
