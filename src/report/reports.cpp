#include "report/reports.h"

#include <system_error>

#include "base/check.h"
#include "base/file.h"
#include "base/lock.h"
#include "report/html_report.h"
#include "report/json_report.h"

namespace gptmoe {

ReportPaths write_reports(const std::filesystem::path& dir, const Comparison& comparison, const Sweep* sweep,
                          int64_t refresh_seconds) {
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (error) throw Failure(text(dir.string(), ": cannot create: ", error.message()));
  const ReportPaths paths{dir / "report.html", dir / "report.json"};
  const OutputLock lock(paths.html, "is writing this report; wait for it or choose another --out",
                        std::chrono::seconds(10));
  write_text_file(paths.html, html_report(comparison, sweep, refresh_seconds));
  // Labels and paths may hold bytes that are not UTF-8; they are replaced rather than refused.
  write_text_file(
      paths.json,
      json_report(comparison, sweep).dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  return paths;
}

}  // namespace gptmoe
