#include "report/svg_files.h"

#include <algorithm>
#include <system_error>

#include "base/check.h"
#include "base/file.h"
#include "base/lock.h"
#include "report/page_files.h"
#include "report/report_charts.h"

namespace gptmoe {
namespace {

std::string file_name(const std::string& kind, std::string label) {
  std::replace(label.begin(), label.end(), '/', '-');
  return kind + "_" + label;
}

}  // namespace

std::string standalone_svg(std::string svg) {
  const size_t open = svg.find("<svg ");
  svg.insert(open + 5, "xmlns=\"http://www.w3.org/2000/svg\" ");
  svg.insert(svg.find('>', open) + 1,
             text("<style>", kChartStyle, "svg { background: var(--page); font-family: sans-serif; }</style>"));
  return svg;
}

std::vector<std::filesystem::path> write_svg_files(const std::filesystem::path& dir, const Comparison& comparison,
                                                   const Sweep* sweep) {
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (error) throw Failure(text(dir.string(), ": cannot create: ", error.message()));
  const OutputLock lock(dir / "charts", "is writing charts there; wait for it or choose another folder",
                        std::chrono::seconds(10));
  std::vector<std::filesystem::path> written;
  const auto write = [&](const std::string& name, const std::string& svg) {
    std::filesystem::path path = dir / (name + ".svg");
    for (int number = 2; std::find(written.begin(), written.end(), path) != written.end(); ++number)
      path = dir / text(name, "_", number, ".svg");
    write_text_file(path, standalone_svg(svg) + "\n");
    written.push_back(path);
  };
  write("perplexity", svg_line_chart(perplexity_by_tokens(comparison)));
  if (!comparison.single()) write("gap", svg_line_chart(gap_chart(comparison)));
  if (const std::optional<Chart> chart = gap_by_steps_chart(comparison)) write("gap_by_steps", svg_line_chart(*chart));
  for (size_t arm = 0; arm < comparison.arms.size(); ++arm) {
    const std::string& label = comparison.arms[arm].arm.label;
    if (!comparison.arms[arm].expert_load.empty())
      write(file_name("load", label), svg_heatmap(load_map(comparison, arm)));
    if (const Chart chart = entropy_chart(comparison, arm); !chart.series.empty())
      write(file_name("entropy", label), svg_line_chart(chart));
  }
  if (!sweep) return written;
  if (const std::optional<Chart> chart = sweep_chart(*sweep)) write("sweep", svg_line_chart(*chart));
  if (has_curves(*sweep))
    for (size_t family = 0; family < sweep->families.size(); ++family)
      write(file_name("curves", sweep->families[family].label), svg_line_chart(sweep_curves(*sweep, family)));
  return written;
}

}  // namespace gptmoe
