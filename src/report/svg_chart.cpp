#include "report/svg_chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/check.h"
#include "report/markup.h"
#include "report/ticks.h"

namespace gptmoe {
namespace {

constexpr double kRowHeight = 20;  // of title and legend
constexpr size_t kLegendColumns = 32;
constexpr double kMarkersUpTo = 20;  // a series with at most this many points gets a dot for each

// Maps data to pixels along one axis.
class Ruler {
 public:
  Ruler(const Axis& axis, double low, double high, double pixel_low, double pixel_high)
      : log_(axis.scale == Scale::log),
        low_(at(low)),
        high_(at(high)),
        pixel_low_(pixel_low),
        pixel_high_(pixel_high) {}

  double operator()(double value) const {
    return pixel_low_ + (at(value) - low_) / (high_ - low_) * (pixel_high_ - pixel_low_);
  }
  bool holds(double value) const { return at(value) >= low_ && at(value) <= high_; }

 private:
  double at(double value) const { return log_ ? std::log(value) : value; }

  bool log_;
  double low_, high_, pixel_low_, pixel_high_;
};

struct Range {
  double low = HUGE_VAL, high = -HUGE_VAL;

  void take(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

struct Frame {
  Range x, y;
  double left = 0, right = 0, top = 0, bottom = 0;
};

bool drawable(const Axis& axis, double value) {
  return std::isfinite(value) && (axis.scale != Scale::log || value > 0);
}
bool drawable(const Chart& chart, const ChartPoint& point) {
  return drawable(chart.x, point.x) && drawable(chart.y, point.y);
}

// The range of an axis: its own limits, or the data with a margin. Never empty, even if all values are equal.
Range padded(Range range, const Axis& axis, double share) {
  if (axis.from) range.low = *axis.from;
  if (axis.to) range.high = *axis.to;
  const bool log = axis.scale == Scale::log;
  if (log) range = {std::log(range.low), std::log(range.high)};
  double pad = share * (range.high - range.low);
  if (!(range.high > range.low)) pad = log ? 0.1 : range.low == 0 ? 1 : 0.1 * std::fabs(range.low);
  if (!axis.from || range.high <= range.low) range.low -= pad;
  if (!axis.to || range.high <= range.low) range.high += pad;
  return log ? Range{std::exp(range.low), std::exp(range.high)} : range;
}

Frame measure(const Chart& chart) {
  Frame frame;
  for (const Series& series : chart.series)
    for (const ChartPoint& point : series.points) {
      if (!drawable(chart, point)) continue;
      frame.x.take(point.x);
      // Points beyond the left or right edge of the frame must not stretch the y axis.
      if ((chart.x.from && point.x < *chart.x.from) || (chart.x.to && point.x > *chart.x.to)) continue;
      for (double value : {point.y, point.low, point.high})
        if (drawable(chart.y, value) && (value == point.y || point.low < point.high)) frame.y.take(value);
    }
  if (frame.x.empty() || frame.y.empty()) return frame;
  if (chart.reference && drawable(chart.y, *chart.reference)) frame.y.take(*chart.reference);
  frame.x = padded(frame.x, chart.x, 0);
  frame.y = padded(frame.y, chart.y, 0.06);
  return frame;
}

std::string tick_text(const Axis& axis, double value) {
  if (axis.tick_text) return axis.tick_text(value);
  char out[48];
  std::snprintf(out, sizeof out, "%.6g", std::fabs(value) < 1e-12 ? 0.0 : value);
  std::string digits = out;
  return digits.starts_with('-') ? "−" + digits.substr(1) : digits;
}

std::vector<Tick> ticks_of(const Axis& axis, const Range& range, double pixels, double spacing) {
  std::vector<Tick> ticks;
  // The slack ensures that rounding does not drop an end that is itself a tick.
  const double slack = 1e-9 * (range.high - range.low);
  for (const Tick& tick : axis.ticks)
    if (tick.value >= range.low - slack && tick.value <= range.high + slack) ticks.push_back(tick);
  if (!axis.ticks.empty()) return ticks;
  const int count = std::max(2, static_cast<int>(pixels / spacing));
  for (const double value :
       axis.scale == Scale::log ? log_ticks(range.low, range.high, count) : nice_ticks(range.low, range.high, count))
    ticks.push_back({value, tick_text(axis, value)});
  return ticks;
}

std::string color_class(const Series& series) { return text("c", series.color % kPaletteSize); }
std::string line_class(const Series& series) {
  return (series.dashed ? "dashed " : is_dotted(series) ? "dotted " : "") + color_class(series);
}

std::string text_at(double x, double y, const char* anchor, const std::string& content,
                    const char* css_class = "tick") {
  return text("<text class=\"", css_class, "\" x=\"", coordinate(x), "\" y=\"", coordinate(y), "\" text-anchor=\"",
              anchor, "\">", escape(content), "</text>");
}

std::string line_at(const char* css_class, double x1, double y1, double x2, double y2) {
  return text("<line class=\"", css_class, "\" x1=\"", coordinate(x1), "\" y1=\"", coordinate(y1), "\" x2=\"",
              coordinate(x2), "\" y2=\"", coordinate(y2), "\"/>");
}

void draw_key(const Series& series, size_t index, double x, double y, std::string& out) {
  out += text("<g class=\"entry\" data-series=\"", index, "\"><line class=\"key ", line_class(series), "\" opacity=\"",
              series.opacity, "\" x1=\"", coordinate(x), "\" y1=\"", coordinate(y - 4), "\" x2=\"", coordinate(x + 16),
              "\" y2=\"", coordinate(y - 4), "\"/>");
  out += text_at(x + 21, y, "start", shortened(series.label, kLegendColumns), "legend") + "</g>";
}

double key_width(const Series& series) { return text_width(shortened(series.label, kLegendColumns), kFont) + 34; }

// Draws the y axis's title, with the legend to the right of it or, if there is too little room, in rows of its own.
// Returns the total height.
double draw_head(const Chart& chart, std::string& out) {
  out += text_at(0, 14, "start", chart.y.title, "title");
  double total = 0;
  for (const Series& series : chart.series) total += series.label.empty() ? 0 : key_width(series);
  const bool beside = text_width(chart.y.title, kFont) + 20 + total <= chart.width;
  double x = beside ? chart.width - total + 10 : 0;
  double y = beside ? 14 : 14 + kRowHeight;
  for (size_t i = 0; i < chart.series.size(); ++i) {
    const Series& series = chart.series[i];
    if (series.label.empty()) continue;
    const double width = key_width(series);
    if (!beside && x > 0 && x + width - 10 > chart.width) {
      x = 0;
      y += kRowHeight;
    }
    draw_key(series, i, x, y, out);
    x += width;
  }
  return y + 18;
}

void draw_axes(const Chart& chart, Frame& frame, std::string& out) {
  const std::vector<Tick> y_ticks = ticks_of(chart.y, frame.y, frame.bottom - frame.top, 44);
  double label_width = 0;
  for (const Tick& tick : y_ticks) label_width = std::max(label_width, text_width(tick.text, kFont));
  frame.left = label_width + 8;
  const Ruler y(chart.y, frame.y.low, frame.y.high, frame.bottom, frame.top);
  for (const Tick& tick : y_ticks) {
    out += line_at("grid", frame.left, y(tick.value), frame.right, y(tick.value));
    out += text_at(frame.left - 8, y(tick.value) + 4, "end", tick.text);
  }
  const Ruler x(chart.x, frame.x.low, frame.x.high, frame.left, frame.right);
  out += line_at("axis", frame.left, frame.bottom, frame.right, frame.bottom);
  double free_from = 0;
  for (const Tick& tick : ticks_of(chart.x, frame.x, frame.right - frame.left, 70)) {
    out += line_at("axis", x(tick.value), frame.bottom, x(tick.value), frame.bottom + 4);
    // A label that would cross the right edge is moved inside. One that would touch its neighbour is left out.
    const double half = 0.5 * text_width(tick.text, kFont);
    const double at = std::min(x(tick.value), chart.width - half);
    if (at - half < free_from) continue;
    out += text_at(at, frame.bottom + 18, "middle", tick.text);
    free_from = at + half + 6;
  }
  out += text_at(frame.right, frame.bottom + 36, "end", chart.x.title, "title");
}

// The parts of a series between breaks.
std::vector<std::vector<const ChartPoint*>> stretches(const Chart& chart, const Series& series) {
  std::vector<std::vector<const ChartPoint*>> parts(1);
  for (const ChartPoint& point : series.points) {
    if (drawable(chart, point)) {
      parts.back().push_back(&point);
    } else if (!parts.back().empty()) {
      parts.emplace_back();
    }
  }
  if (parts.back().empty()) parts.pop_back();
  return parts;
}

std::string path_of(const std::vector<std::pair<double, double>>& pixels) {
  std::string out;
  for (size_t i = 0; i < pixels.size(); ++i)
    out += text(i ? "L" : "M", coordinate(pixels[i].first), " ", coordinate(pixels[i].second));
  return out;
}

void draw_band(const Chart& chart, const Series& series, const Ruler& x, const Ruler& y, std::string& out) {
  for (const auto& part : stretches(chart, series)) {
    std::vector<std::pair<double, double>> outline;
    const auto has_band = [&](const ChartPoint* point) {
      return point->low < point->high && drawable(chart.y, point->low) && drawable(chart.y, point->high);
    };
    if (std::none_of(part.begin(), part.end(), has_band)) continue;
    for (const ChartPoint* point : part) outline.emplace_back(x(point->x), y(has_band(point) ? point->high : point->y));
    for (auto point = part.rbegin(); point != part.rend(); ++point)
      outline.emplace_back(x((*point)->x), y(has_band(*point) ? (*point)->low : (*point)->y));
    out += text("<path class=\"band ", color_class(series), "\" d=\"", path_of(outline), "Z\"/>");
  }
}

void draw_line(const Chart& chart, const Series& series, const Ruler& x, const Ruler& y, std::string& out) {
  const bool markers = series.points.size() <= kMarkersUpTo && !series.dashed;
  for (const auto& part : stretches(chart, series)) {
    std::vector<std::pair<double, double>> pixels;
    for (const ChartPoint* point : part) pixels.emplace_back(x(point->x), y(point->y));
    if (pixels.size() > 1)
      out += text("<path class=\"line ", line_class(series), "\" opacity=\"", series.opacity, "\" d=\"",
                  path_of(pixels), "\"/>");
    if (markers || pixels.size() == 1)
      for (const auto& [px, py] : pixels)
        out += text("<circle class=\"dot ", color_class(series), "\" opacity=\"", series.opacity, "\" cx=\"",
                    coordinate(px), "\" cy=\"", coordinate(py), "\" r=\"2.5\"/>");
  }
}

void draw_hints(const Chart& chart, const Series& series, const Ruler& x, const Ruler& y, std::string& out) {
  for (const ChartPoint& point : series.points)
    if (!point.hint.empty() && drawable(chart, point) && x.holds(point.x) && y.holds(point.y))
      out += text("<circle class=\"hint ", color_class(series), "\" cx=\"", coordinate(x(point.x)), "\" cy=\"",
                  coordinate(y(point.y)), "\" r=\"6\"><title>", escape(point.hint), "</title></circle>");
}

// Draws the reference line, with its label at whichever end has more room.
void draw_reference(const Chart& chart, const Frame& frame, const Ruler& x, const Ruler& y, std::string& out) {
  if (!chart.reference || !y.holds(*chart.reference)) return;
  const auto columns = static_cast<size_t>((frame.right - frame.left - 12) / text_width("n", kFont));
  const std::string label = shortened(chart.reference_label, std::max<size_t>(columns, 2));
  const double at = y(*chart.reference), reach = text_width(label, kFont) + 12;
  double room_left = HUGE_VAL, room_right = HUGE_VAL;
  for (const Series& series : chart.series)
    for (const ChartPoint& point : series.points) {
      if (!drawable(chart, point)) continue;
      const double distance = std::fabs(y(point.y) - at);
      if (x(point.x) <= frame.left + reach) room_left = std::min(room_left, distance);
      if (x(point.x) >= frame.right - reach) room_right = std::min(room_right, distance);
    }
  const bool left = room_left >= room_right;
  out += line_at("reference", frame.left, at, frame.right, at);
  out += text_at(left ? frame.left + 6 : frame.right - 6, at + (at + 18 < frame.bottom ? 14 : -6),
                 left ? "start" : "end", label, "note");
}

void draw_data(const Chart& chart, const Frame& frame, std::string& out) {
  const Ruler x(chart.x, frame.x.low, frame.x.high, frame.left, frame.right);
  const Ruler y(chart.y, frame.y.low, frame.y.high, frame.bottom, frame.top);
  draw_reference(chart, frame, x, y, out);
  // The clip leaves room for markers on the right edge.
  out +=
      text("<clipPath id=\"", escape(chart.id), "\"><rect x=\"", coordinate(frame.left), "\" y=\"",
           coordinate(frame.top - 3), "\" width=\"", coordinate(frame.right - frame.left + 3), "\" height=\"",
           coordinate(frame.bottom - frame.top + 6), "\"/></clipPath><g clip-path=\"url(#", escape(chart.id), ")\">");
  for (const Series& series : chart.series) draw_band(chart, series, x, y, out);
  for (const Series& series : chart.series) draw_line(chart, series, x, y, out);
  out += "</g>";
  for (const Series& series : chart.series) draw_hints(chart, series, x, y, out);
}

// The attribute data-frame; empty if nothing is drawn.
std::string frame_attribute(const Frame& frame) {
  if (frame.x.empty() || frame.y.empty()) return "";
  std::string out;
  for (const double pixels : {frame.left, frame.right, frame.top, frame.bottom}) out += coordinate(pixels) + " ";
  char ranges[120];
  std::snprintf(ranges, sizeof ranges, "%.9g %.9g %.9g %.9g", frame.x.low, frame.x.high, frame.y.low, frame.y.high);
  return text(" data-frame=\"", out, ranges, "\"");
}

}  // namespace

std::string svg_line_chart(const Chart& chart) {
  std::string out;
  Frame frame = measure(chart);
  frame.top = draw_head(chart, out);
  frame.right = chart.width - 4;
  frame.bottom = chart.height - 42;
  if (frame.x.empty() || frame.y.empty()) {
    out += text_at(0.5 * chart.width, 0.5 * chart.height, "middle", "nothing measured yet", "note");
  } else {
    draw_axes(chart, frame, out);
    draw_data(chart, frame, out);
  }
  return text("<svg viewBox=\"0 0 ", coordinate(chart.width), " ", coordinate(chart.height),
              "\" role=\"img\" aria-label=\"", escape(chart.description), "\"", frame_attribute(frame), ">", out,
              "</svg>");
}

}  // namespace gptmoe
