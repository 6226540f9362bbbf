#include "bench/speed_chart.h"

#include <set>

#include "base/progress.h"
#include "report/svg_chart.h"
#include "report/svg_files.h"

namespace gptmoe {
namespace {

ChartPoint point(const StepRun& run, double x) {
  const auto tokens = static_cast<double>(run.variant().tokens_per_step());
  const auto [least, most] = std::minmax_element(run.seconds().begin(), run.seconds().end());
  return {x, tokens / run.median_seconds(), tokens / *most, tokens / *least, run.variant().label};
}

}  // namespace

std::string speed_chart(const std::vector<std::unique_ptr<StepRun>>& runs) {
  std::set<int64_t> expert_counts;
  for (const auto& run : runs) expert_counts.insert(run->variant().config.model.num_experts);
  const bool by_experts = expert_counts.size() > 1;

  Chart chart;
  chart.id = "speed";
  chart.description = "Tokens per second";
  chart.x = {by_experts ? "experts" : "tokens a step", Scale::log, {}, {}, {}};
  chart.y = {"tokens per second", Scale::linear, 0, {}, metric_count};
  for (const auto& run : runs) {
    const std::string& path = run->variant().path;
    if (chart.series.empty() || chart.series.back().label != path)
      chart.series.push_back({path, static_cast<int>(chart.series.size()), 1, {}});
    const int64_t x = by_experts ? run->variant().config.model.num_experts : run->variant().tokens_per_step();
    chart.series.back().points.push_back(point(*run, static_cast<double>(x)));
  }
  return standalone_svg(svg_line_chart(chart)) + "\n";
}

}  // namespace gptmoe
