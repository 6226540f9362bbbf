#include "report/page_charts.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "base/check.h"
#include "report/markup.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostPoints = 500;

// Keeps every n-th point and the last one, at most kMostPoints + 1 in total: a long run's points are denser than the
// pixels.
Chart thinned(Chart chart) {
  for (Series& series : chart.series) {
    const size_t count = series.points.size(), stride = (count + kMostPoints - 1) / kMostPoints;
    if (stride < 2) continue;
    std::vector<ChartPoint> kept;
    for (size_t i = 0; i < count; ++i)
      if (i % stride == 0 || i + 1 == count) kept.push_back(std::move(series.points[i]));
    series.points = std::move(kept);
  }
  return chart;
}

Json number(double value, int digits) {
  if (!std::isfinite(value)) return nullptr;
  char out[48];
  std::snprintf(out, sizeof out, "%.*g", digits, value);
  const double rounded = std::strtod(out, nullptr);
  if (std::fabs(rounded) < 1e15 && rounded == std::floor(rounded)) return static_cast<int64_t>(rounded);
  return rounded;
}

Json limit(const std::optional<double>& value) { return value ? number(*value, 6) : nullptr; }

const char* along_text(Along along) {
  switch (along) {
    case Along::tokens: return "tokens";
    case Along::steps: return "steps";
    case Along::seconds: return "seconds";
    case Along::other: break;
  }
  return "";
}

std::string figure_of(const Chart& chart, const std::string& title, const std::string& pictures) {
  return text("<figure data-chart=\"", escape(chart.id), "\">", title.empty() ? "" : element("h3", escape(title)),
              pictures, "</figure>\n");
}

}  // namespace

std::string PageCharts::add(const std::string& title, const Chart& chart) {
  const Chart shown = thinned(chart);
  keep(shown);
  return figure_of(shown, title, svg_line_chart(shown));
}

std::string PageCharts::add_wide(Chart chart) {
  chart = thinned(std::move(chart));
  keep(chart);
  std::string pictures;
  struct Size {
    const char* name;
    double width, height;
  };
  for (const auto& [name, width, height] :
       {Size{"narrow", 360, 300}, Size{"middle", 700, 360}, Size{"broad", 1120, 430}}) {
    Chart sized = chart;
    sized.id = chart.id + "-" + name;
    sized.width = width;
    sized.height = height;
    if (width < 600)  // phones, which show no tooltips
      for (Series& series : sized.series)
        for (ChartPoint& point : series.points) point.hint.clear();
    pictures += element("div", svg_line_chart(sized), name);
  }
  return figure_of(chart, "", pictures);
}

Json PageCharts::column(const std::vector<double>& values, int digits) {
  if (std::none_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); })) return nullptr;
  Json numbers = Json::array();
  for (const double value : values) numbers.push_back(number(value, digits));
  const auto [known, fresh] = known_.try_emplace(numbers.dump(), columns_.size());
  if (fresh) columns_.push_back(std::move(numbers));
  return known->second;
}

Json PageCharts::series_json(const Series& series) {
  const auto column_of = [&](int digits, auto value) {
    std::vector<double> values;
    for (const ChartPoint& point : series.points) values.push_back(value(point));
    return column(values, digits);
  };
  const bool band =
      std::any_of(series.points.begin(), series.points.end(), [](const ChartPoint& p) { return p.low < p.high; });
  Json json = {{"name", series.name.empty() ? series.label : series.name},
               {"label", series.label},
               {"color", series.color % kPaletteSize},
               {"opacity", number(series.opacity, 3)},
               {"dashed", series.dashed},
               {"dotted", is_dotted(series)}};
  json["x"] = column_of(9, [](const ChartPoint& p) { return p.x; });
  json["y"] = column_of(6, [](const ChartPoint& p) { return p.y; });
  json["low"] = band ? column_of(6, [](const ChartPoint& p) { return p.low; }) : Json();
  json["high"] = band ? column_of(6, [](const ChartPoint& p) { return p.high; }) : Json();
  json["tokens"] = column_of(9, [](const ChartPoint& p) { return p.place.tokens; });
  json["steps"] = column_of(9, [](const ChartPoint& p) { return p.place.steps; });
  json["seconds"] = column_of(9, [](const ChartPoint& p) { return p.place.seconds; });
  return json;
}

void PageCharts::keep(const Chart& chart) {
  GPTMOE_CHECK(!charts_.contains(chart.id), "two charts of a page are named ", chart.id);
  Json series = Json::array(), ticks = Json::array();
  for (const Series& one : chart.series) series.push_back(series_json(one));
  for (const Tick& tick : chart.x.ticks) ticks.push_back({number(tick.value, 9), tick.text});
  charts_[chart.id] = {
      {"description", chart.description},
      {"x",
       {{"title", chart.x.title},
        {"along", along_text(chart.x.along)},
        {"log", chart.x.scale == Scale::log},
        {"ticks", ticks}}},
      {"y",
       {{"title", chart.y.title},
        {"log", chart.y.scale == Scale::log},
        {"from", limit(chart.y.from)},
        {"to", limit(chart.y.to)}}},
      {"reference", chart.reference ? Json::array({number(*chart.reference, 6), chart.reference_label}) : Json()},
      {"series", series}};
}

std::string PageCharts::data() const {
  const Json all = {{"columns", columns_}, {"charts", charts_}};
  std::string out;
  for (const char c : all.dump(-1, ' ', false, Json::error_handler_t::replace))
    out += c == '<' ? std::string("\\u003c") : std::string(1, c);
  return out;
}

}  // namespace gptmoe
