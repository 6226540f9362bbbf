#include "report/report_charts.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/progress.h"
#include "report/number_text.h"

namespace gptmoe {
namespace {

constexpr size_t kStretches = 120;
constexpr size_t kFewEvals = 12;  // a curve this short is shown whole

// The arm's label in the legend; empty if there is only one arm.
std::string legend_of(const Comparison& comparison, size_t arm) {
  return comparison.single() ? "" : comparison.arms[arm].arm.label;
}

// "1 M" instead of metric_count's "1.00 M": axis labels are round numbers.
std::string round_tokens(double tokens) {
  std::string out = tokens_text(tokens);
  const size_t point = out.find('.');
  if (point == std::string::npos) return out;
  const size_t unit = std::min(out.find(' '), out.size());
  size_t end = unit;
  while (out[end - 1] == '0') --end;
  if (end - 1 == point) --end;
  return out.erase(end, unit - end);
}

struct TimeUnit {
  double seconds;
  const char* name;
};

TimeUnit time_unit(const Comparison& comparison) {
  double longest = 0;
  for (const ArmResult& result : comparison.arms)
    if (!result.curve.empty()) longest = std::max(longest, result.curve.back().seconds);
  if (longest < 180) return {1, "training time, seconds"};
  if (longest < 3 * 3600) return {60, "training time, minutes"};
  return {3600, "training time, hours"};
}

std::string hint_of(const ArmResult& result, const CurvePoint& point) {
  return text(result.arm.label, "\nperplexity ", spread_text(point.perplexity), "\n",
              tokens_text(static_cast<double>(point.tokens)), " tokens, ", seconds_text(point.seconds));
}

Series series_of(const Comparison& comparison, size_t arm) {
  Series series{legend_of(comparison, arm), static_cast<int>(arm), 1, {}};
  series.name = comparison.arms[arm].arm.label;
  return series;
}

TrainingPlace place_of(const CurvePoint& point) {
  return {static_cast<double>(point.tokens), point.step, point.seconds};
}

Series perplexity_series(const Comparison& comparison, size_t arm, double (*x)(const CurvePoint&), double x_unit) {
  const ArmResult& result = comparison.arms[arm];
  Series series = series_of(comparison, arm);
  for (const CurvePoint& point : result.curve)
    series.points.push_back({x(point) / x_unit, point.perplexity.mean, point.perplexity.min, point.perplexity.max,
                             hint_of(result, point), place_of(point)});
  return series;
}

// The curve of perplexity_series(), with averaged weights instead of the last ones; no points if they are unknown.
Series average_series(const Comparison& comparison, size_t arm, double (*x)(const CurvePoint&), double x_unit) {
  Series series{"", static_cast<int>(arm), 1, {}, true};
  series.name = comparison.arms[arm].arm.label + ", averaged weights";
  for (const CurvePoint& point : comparison.arms[arm].curve) {
    const double value = point.perplexity_ema;
    if (std::isfinite(value))
      series.points.push_back({x(point) / x_unit, value, value, value,
                               text(series.name, "\nperplexity ", perplexity_text(value)), place_of(point)});
  }
  return series;
}

// The top of the frame: the highest perplexity at the first eval after a fifth of training.
std::optional<double> top_of_frame(const Comparison& comparison) {
  std::optional<double> top;
  for (const ArmResult& result : comparison.arms) {
    if (result.curve.size() <= kFewEvals) return std::nullopt;
    for (const CurvePoint& point : result.curve) {
      if (static_cast<double>(point.tokens) < 0.2 * static_cast<double>(result.tokens())) continue;
      const double value = point.perplexity.max;
      if (std::isfinite(value)) top = std::max(top.value_or(0), 1.02 * value);
      if (std::isfinite(value)) break;
    }
  }
  return top;
}

Chart perplexity_chart(const Comparison& comparison, const std::string& id, double (*x)(const CurvePoint&),
                       double unit) {
  Chart chart;
  chart.id = id;
  chart.y = {"validation perplexity (log scale)", Scale::log, {}, top_of_frame(comparison), {}};
  for (size_t arm = 0; arm < comparison.arms.size(); ++arm)
    chart.series.push_back(perplexity_series(comparison, arm, x, unit));
  for (size_t arm = 0; arm < comparison.arms.size(); ++arm)
    if (Series average = average_series(comparison, arm, x, unit); !average.points.empty())
      chart.series.push_back(std::move(average));
  if (!comparison.single() && std::isfinite(comparison.target_perplexity)) {
    chart.reference = comparison.target_perplexity;
    chart.reference_label =
        text(comparison.arms[0].arm.label, " ends at ", perplexity_text(comparison.target_perplexity));
  }
  return chart;
}

double most_tokens(const Comparison& comparison) {
  double most = 0;
  for (const ArmResult& result : comparison.arms)
    for (const RunLog& run : result.arm.runs)
      if (!run.train.empty()) most = std::max(most, static_cast<double>(run.train.back().tokens));
  return most;
}

// Means over equal ranges of tokens, each placed at the mean of its rows' tokens.
std::vector<ChartPoint> stretch_means(const Arm& arm, double tokens_each, double (*field)(const TrainRow&),
                                      const std::string& label) {
  struct Sum {
    double tokens = 0, steps = 0, seconds = 0, value = 0, rows = 0;
  };
  std::vector<Sum> sums(kStretches);
  for (const RunLog& run : arm.runs)
    for (const TrainRow& row : run.train) {
      const double value = field(row), tokens = static_cast<double>(row.tokens);
      if (!std::isfinite(value)) continue;
      // A range includes its upper end, so that the last row falls into the last range.
      const auto index = static_cast<size_t>(std::max(0.0, std::ceil(tokens / tokens_each) - 1));
      Sum& sum = sums[std::min(index, kStretches - 1)];
      sum.tokens += tokens;
      sum.steps += static_cast<double>(row.step);
      sum.seconds += row.seconds;
      sum.value += value;
      sum.rows += 1;
    }
  std::vector<ChartPoint> points;
  for (const Sum& sum : sums) {
    if (sum.rows == 0) continue;
    const double x = sum.tokens / sum.rows, y = sum.value / sum.rows;
    char digits[48];
    std::snprintf(digits, sizeof digits, "%.4g", y);
    points.push_back({x,
                      y,
                      y,
                      y,
                      text(label, "\n", digits, "\n", tokens_text(x), " tokens"),
                      {x, sum.steps / sum.rows, sum.seconds / sum.rows}});
  }
  return points;
}

size_t experts_of(const ArmResult& result) {
  size_t experts = 0;
  for (const auto& layer : result.expert_load) experts = std::max(experts, layer.size());
  return experts;
}

// The index of the model's first MoE layer. All layers after it are MoE layers too.
size_t first_moe_layer(const ArmResult& result) {
  const nlohmann::ordered_json::json_pointer dense("/model/first_k_dense_replace");
  const nlohmann::ordered_json& config = result.arm.runs[0].config;
  return config.contains(dense) && config[dense].is_number_unsigned() ? config[dense].get<size_t>() : 0;
}

Chart empty_gap_chart(const Comparison& comparison, const std::string& id) {
  Chart chart;
  chart.id = id;
  chart.description = "Perplexity relative to the baseline during training";
  chart.y.title = "perplexity gap, %";
  chart.reference = 0;
  chart.reference_label = comparison.arms[0].arm.label;
  return chart;
}

Series gap_series(const Comparison& comparison, size_t arm, const std::vector<GapPoint>& points,
                  int64_t GapPoint::*axis) {
  const std::string& label = comparison.arms[arm].arm.label;
  Series series{label, static_cast<int>(arm), 1, {}};
  for (const GapPoint& point : points) {
    const auto tokens = static_cast<double>(point.tokens), step = static_cast<double>(point.step);
    series.points.push_back({static_cast<double>(point.*axis),
                             100 * point.gap.mean,
                             100 * point.gap.low,
                             100 * point.gap.high,
                             text(label, "\n", gap_text(point.gap), " against ", comparison.arms[0].arm.label, "\n",
                                  tokens_text(tokens), " tokens, step ", grouped_digits(point.step)),
                             {tokens, step, point.seconds}});
  }
  return series;
}

// Draws the reference's gap at its own steps, up to the end of our training. If its training is shorter or longer than
// ours, also draws the gap at equal fractions of training. `x_per_step` is the width of our step on the chart's axis.
void add_reference(Chart& chart, const Comparison& comparison, double x_per_step) {
  if (!comparison.reference) return;
  const Reference& reference = *comparison.reference;
  const auto planned = static_cast<double>(comparison.arms[0].arm.runs[0].planned_steps);
  const std::string name = reference_name(reference);
  const int color = static_cast<int>(comparison.arms.size());
  Series by_step{name + ", by step", color, 1, {}, true}, by_share{name + ", by share", color, 0.55, {}, true};
  for (const ReferencePoint& point : reference.points) {
    const double y = 100 * point.gap;
    const std::string hint = text(name, "\n", percent_text(point.gap), "\nstep ", fixed(point.step, 0), ", ",
                                  fixed(100 * point.share, 0), " % of training");
    const auto add = [&](Series& series, double step) {
      series.points.push_back({step * x_per_step, y, y, y, hint, {kUnknown, step, kUnknown}});
    };
    if (point.step <= planned) add(by_step, point.step);
    add(by_share, point.share * planned);
  }
  const bool as_long = std::fabs(reference.points.back().share * planned - reference.points.back().step) < 0.5;
  chart.series.push_back(std::move(by_step));
  if (!as_long) chart.series.push_back(std::move(by_share));
}

// Training tokens per step; 0 before the first evaluation.
double tokens_per_step(const Comparison& comparison) {
  for (const RunLog& run : comparison.arms[0].arm.runs)
    if (!run.evals.empty())
      return static_cast<double>(run.evals.back().tokens) / static_cast<double>(run.evals.back().step);
  return 0;
}

void frame_gaps(Chart& chart) {
  const auto take = [&](double value) {
    if (!std::isfinite(value)) return;
    chart.y.from = std::min(chart.y.from.value_or(0), value);
    chart.y.to = std::max(chart.y.to.value_or(0), value);
  };
  double first = HUGE_VAL;  // where our first curve starts
  for (const Series& series : chart.series)
    if (!series.dashed && !series.points.empty()) first = std::min(first, series.points.front().x);
  for (const Series& series : chart.series) {
    for (const ChartPoint& point : series.points)
      if (point.x >= first) take(point.y);
    if (!series.dashed && !series.points.empty()) take(series.points.back().low), take(series.points.back().high);
  }
  if (!chart.y.from) return;
  const double room = std::max(0.1, 0.06 * (*chart.y.to - *chart.y.from));
  *chart.y.from -= room;
  *chart.y.to += room;
}

}  // namespace

Axis token_axis() { return {"training tokens", Scale::linear, 0.0, {}, round_tokens, Along::tokens}; }
Axis step_axis() { return {"training steps", Scale::linear, 0.0, {}, {}, Along::steps}; }

Chart perplexity_by_tokens(const Comparison& comparison) {
  Chart chart = perplexity_chart(
      comparison, "by-tokens", [](const CurvePoint& point) { return static_cast<double>(point.tokens); }, 1);
  chart.width = 1120;
  chart.height = 430;
  chart.x = token_axis();
  chart.description = "Validation perplexity against training tokens";
  return chart;
}

Chart perplexity_by_time(const Comparison& comparison) {
  const TimeUnit unit = time_unit(comparison);
  Chart chart = perplexity_chart(
      comparison, "by-time", [](const CurvePoint& point) { return point.seconds; }, unit.seconds);
  chart.x = {unit.name, Scale::linear, 0.0, {}, {}, Along::seconds};
  chart.description = "Validation perplexity against training time";
  return chart;
}

Chart gap_chart(const Comparison& comparison) {
  Chart chart = empty_gap_chart(comparison, "gap");
  chart.x = token_axis();
  for (size_t arm = 1; arm < comparison.arms.size(); ++arm)
    chart.series.push_back(gap_series(comparison, arm, comparison.arms[arm].gap, &GapPoint::tokens));
  add_reference(chart, comparison, tokens_per_step(comparison));
  frame_gaps(chart);
  return chart;
}

std::optional<Chart> gap_by_steps_chart(const Comparison& comparison) {
  Chart chart = empty_gap_chart(comparison, "gap-by-steps");
  chart.x = step_axis();
  for (size_t arm = 1; arm < comparison.arms.size(); ++arm)
    if (const std::vector<GapPoint>& gap = comparison.arms[arm].gap_by_steps; !gap.empty())
      chart.series.push_back(gap_series(comparison, arm, gap, &GapPoint::step));
  if (chart.series.empty()) return std::nullopt;
  add_reference(chart, comparison, 1);
  frame_gaps(chart);
  return chart;
}

Chart train_chart(const Comparison& comparison, const std::string& id, const std::string& title, Scale scale,
                  double (*field)(const TrainRow&)) {
  Chart chart;
  chart.id = id;
  chart.description = title + " against training tokens";
  chart.x = token_axis();
  chart.y.title = title;
  chart.y.scale = scale;
  const double tokens_each = std::max(1.0, most_tokens(comparison) / kStretches);
  for (size_t arm = 0; arm < comparison.arms.size(); ++arm) {
    const Arm& runs = comparison.arms[arm].arm;
    Series series = series_of(comparison, arm);
    series.points = stretch_means(runs, tokens_each, field, runs.label);
    if (!series.points.empty()) chart.series.push_back(std::move(series));
  }
  return chart;
}

Chart entropy_chart(const Comparison& comparison, size_t arm) {
  const ArmResult& result = comparison.arms[arm];
  Chart chart;
  chart.id = text("entropy-", arm);
  chart.description = "Router entropy of " + result.arm.label + " against training tokens";
  chart.x = token_axis();
  chart.y.title = "router entropy, nats";
  for (const ArmResult& other : comparison.arms)
    for (const CurvePoint& point : other.curve)
      for (double entropy : point.router_entropy) {
        if (!std::isfinite(entropy)) continue;
        chart.y.from = std::min(chart.y.from.value_or(entropy), entropy);
        chart.y.to = std::max(chart.y.to.value_or(entropy), entropy);
      }
  if (const size_t experts = experts_of(result); experts > 1) {
    chart.reference = std::log(static_cast<double>(experts));
    chart.reference_label = text("uniform over ", experts, " experts");
    chart.y.to = std::max(chart.y.to.value_or(0), *chart.reference);
  }
  if (chart.y.from && chart.y.to) {
    const double pad = std::max(0.02, 0.08 * (*chart.y.to - *chart.y.from));
    chart.y.from = *chart.y.from - pad;
    chart.y.to = *chart.y.to + pad;
  }
  const size_t layers = result.curve.empty() ? 0 : result.curve.back().router_entropy.size();
  const size_t first = first_moe_layer(result);
  for (size_t l = 0; l < layers; ++l) {
    const double depth = layers > 1 ? static_cast<double>(l) / static_cast<double>(layers - 1) : 1;
    const bool named = layers <= 4 || l == 0 || l + 1 == layers;
    Series series{named ? text("layer ", first + l) : "", static_cast<int>(arm), 0.3 + 0.7 * depth, {}};
    series.name = text("layer ", first + l);
    for (const CurvePoint& point : result.curve)
      series.points.push_back({static_cast<double>(point.tokens), point.router_entropy[l], 0, 0,
                               text(result.arm.label, ", layer ", first + l, "\n", fixed(point.router_entropy[l], 3),
                                    " nats\n", tokens_text(static_cast<double>(point.tokens)), " tokens"),
                               place_of(point)});
    chart.series.push_back(std::move(series));
  }
  return chart;
}

Heatmap load_map(const Comparison& comparison, size_t arm) {
  const ArmResult& result = comparison.arms[arm];
  Heatmap map;
  map.description = "Expert load of " + result.arm.label + " per layer, 1 is balanced";
  map.values = result.expert_load;
  for (size_t l = 0; l < map.values.size(); ++l) map.row_labels.push_back(text("layer ", first_moe_layer(result) + l));
  map.first_column = "busiest expert";
  map.last_column = "idlest";
  for (const ArmResult& other : comparison.arms)
    for (const auto& layer : other.expert_load)
      for (double load : layer)
        if (std::isfinite(load)) map.full = std::max(map.full, load);
  return map;
}

}  // namespace gptmoe
