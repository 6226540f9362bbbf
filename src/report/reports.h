#pragma once
#include <filesystem>

#include "report/comparison.h"
#include "report/sweep.h"

namespace gptmoe {

struct ReportPaths {
  std::filesystem::path html;  // DIR/report.html
  std::filesystem::path json;  // DIR/report.json
};

// Writes both reports and creates DIR if needed; each file appears complete or not at all. If another process is
// writing them, waits up to 10 seconds, then throws UserError. So two processes never mix their files. Browsers reload
// the page every `refresh_seconds`; 0: never.
ReportPaths write_reports(const std::filesystem::path& dir, const Comparison& comparison, const Sweep* sweep = nullptr,
                          int64_t refresh_seconds = 0);

}  // namespace gptmoe
