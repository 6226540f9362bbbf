#pragma once
#include <filesystem>

#include "report/comparison.h"
#include "report/sweep.h"

namespace gptmoe {

struct ReportPaths {
  std::filesystem::path html;  // DIR/report.html
  std::filesystem::path json;  // DIR/report.json
};

// Writes both reports and creates DIR if needed; each file appears complete or not at all. Waits for another process
// that writes them, so that the two belong together; after 10 seconds throws UserError. Browsers reload the page
// every `refresh_seconds`; 0: never.
ReportPaths write_reports(const std::filesystem::path& dir, const Comparison& comparison, const Sweep* sweep = nullptr,
                          int64_t refresh_seconds = 0);

}  // namespace gptmoe
