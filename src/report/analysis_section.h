#pragma once
#include <string>

#include "records/analysis_log.h"
#include "report/page_charts.h"

namespace gptmoe {

// The results of `gptmoe analyze` for one run, as a section of its report. `id` is unique to the run in the page;
// `title` is empty if the page is about one run. Adds the charts to `page`.
std::string analysis_section(const AnalysisLog& log, const std::string& id, const std::string& title, PageCharts& page);

// The results of `gptmoe analyze` as a table for a terminal, one line per layer.
std::string analysis_table(const AnalysisLog& log);

}  // namespace gptmoe
