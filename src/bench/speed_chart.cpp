#include "bench/speed_chart.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/progress.h"
#include "bench/measure.h"

namespace gptmoe {
namespace {

ChartPoint point(const VariantSpeed& speed, int64_t x) {
  const auto tokens = static_cast<double>(speed.variant.tokens_per_step());
  const auto [least, most] = std::minmax_element(speed.seconds.begin(), speed.seconds.end());
  return {static_cast<double>(x), tokens / median(speed.seconds), tokens / *most, tokens / *least, speed.variant.label};
}

// Whether `count` differs among one config's variants.
template <typename Count>
bool varies(const std::vector<VariantSpeed>& speeds, Count count) {
  std::map<size_t, std::set<int64_t>> counts;
  for (const VariantSpeed& speed : speeds) counts[speed.variant.place].insert(count(speed.variant));
  return std::any_of(counts.begin(), counts.end(), [](const auto& of_config) { return of_config.second.size() > 1; });
}

}  // namespace

Chart speed_chart(const std::vector<VariantSpeed>& speeds) {
  const auto experts = [](const Variant& variant) { return variant.config.model.num_experts; };
  const auto tokens = [](const Variant& variant) { return variant.tokens_per_step(); };
  const bool by_experts = varies(speeds, experts), by_both = by_experts && varies(speeds, tokens);

  Chart chart;
  chart.id = "speed";
  chart.description = "Tokens per second";
  chart.width = 480;
  chart.height = 300;
  chart.x = {by_experts ? "experts" : "tokens a step", Scale::log, {}, {}, {}};
  chart.y = {"tokens per second", Scale::linear, 0, {}, metric_count};
  std::map<std::pair<size_t, int64_t>, size_t> lines;
  for (const VariantSpeed& speed : speeds) {
    const Variant& variant = speed.variant;
    const auto [line, fresh] = lines.try_emplace({variant.place, by_both ? tokens(variant) : 0}, lines.size());
    if (fresh) {
      const std::string label = by_both ? text(variant.path, ", ", plural(tokens(variant), "token")) : variant.path;
      chart.series.push_back({label, static_cast<int>(line->second), 1, {}});
    }
    chart.series[line->second].points.push_back(point(speed, by_experts ? experts(variant) : tokens(variant)));
  }
  return chart;
}

}  // namespace gptmoe
