#pragma once
#include <string>

#include "records/analysis_log.h"

namespace gptmoe {

// What `gptmoe analyze` found of one run, as a part of its report. `id` is the run's own in the page; `title` is empty
// where the page is about one run.
std::string analysis_section(const AnalysisLog& log, const std::string& id, const std::string& title);

// The same in a table for a terminal: a line per layer.
std::string analysis_table(const AnalysisLog& log);

}  // namespace gptmoe
