#include <algorithm>
#include <cmath>
#include <map>

#include "base/check.h"
#include "report/number_text.h"
#include "report/report_charts.h"

namespace gptmoe {
namespace {

// The only setting that varies, if every point has a number for it.
std::optional<std::string> swept_number(const Sweep& sweep) {
  std::optional<std::string> path;
  for (const ArmResult& result : sweep.all.arms) {
    const std::vector<Setting>& settings = result.arm.settings;
    if (settings.empty()) continue;
    if (settings.size() > 1 || !number_in(settings[0]) || (path && *path != settings[0].path)) return std::nullopt;
    path = settings[0].path;
  }
  return path;
}

Series line_of(const Sweep& sweep, size_t family) {
  Series series{sweep.families[family].label, static_cast<int>(family), 1, {}};
  for (const size_t point : sweep.families[family].points) {
    const ArmResult& result = sweep.result(point);
    const Statistics perplexity = result.final_perplexity();
    if (result.arm.settings.empty()) continue;
    series.points.push_back({*number_in(result.arm.settings[0]), perplexity.mean, perplexity.min, perplexity.max,
                             text(result.arm.label, "\nperplexity ", spread_text(perplexity))});
  }
  std::sort(series.points.begin(), series.points.end(), [](const auto& a, const auto& b) { return a.x < b.x; });
  return series;
}

// Each number that some point tried, as the config writes it.
std::vector<Tick> values_tried(const Sweep& sweep) {
  std::map<double, std::string> values;
  for (const ArmResult& result : sweep.all.arms)
    for (const Setting& setting : result.arm.settings) values.emplace(*number_in(setting), setting.value);
  std::vector<Tick> ticks;
  for (const auto& [value, words] : values) ticks.push_back({value, words});
  return ticks;
}

// Log scale if the values span a wide range.
Scale scale_of(const std::vector<Series>& lines) {
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (const Series& line : lines)
    for (const ChartPoint& point : line.points) low = std::min(low, point.x), high = std::max(high, point.x);
  return low > 0 && high >= 4 * low ? Scale::log : Scale::linear;
}

}  // namespace

std::optional<Chart> sweep_chart(const Sweep& sweep) {
  const std::optional<std::string> path = swept_number(sweep);
  if (!path) return std::nullopt;
  Chart chart;
  chart.id = "sweep";
  chart.description = "Final validation perplexity against " + *path;
  chart.y = {"final validation perplexity (log scale)", Scale::log, {}, {}, {}};
  for (size_t family = 0; family < sweep.families.size(); ++family)
    if (Series line = line_of(sweep, family); !line.points.empty()) chart.series.push_back(std::move(line));
  chart.x = {*path, scale_of(chart.series), {}, {}, {}};
  chart.x.ticks = values_tried(sweep);
  if (chart.x.ticks.size() < 2) return std::nullopt;
  return chart;
}

bool has_curves(const Sweep& sweep) {
  return std::any_of(sweep.families.begin(), sweep.families.end(),
                     [](const SweepFamily& family) { return family.points.size() > 1; });
}

Chart sweep_curves(const Sweep& sweep, size_t family) {
  Comparison points;
  for (const size_t point : sweep.families[family].points) {
    points.arms.push_back(sweep.result(point));
    points.arms.back().arm.label = sweep.point_name(point);
  }
  Chart chart = perplexity_by_tokens(points);
  chart.id = text("sweep-curves-", family);
  chart.width = Chart{}.width;  // one of several, side by side
  chart.height = Chart{}.height;
  return chart;
}

}  // namespace gptmoe
