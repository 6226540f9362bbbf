#pragma once
// A line chart with bands as inline SVG. Colours are CSS classes of the surrounding page (chart_style.css), so one
// picture suits light and dark pages.
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace gptmoe {

enum class Scale { linear, log };

// What an x axis counts. The page's script can draw a chart of training along tokens, steps or seconds.
enum class Along { other, tokens, steps, seconds };

struct Tick {
  double value = 0;
  std::string text;
};

struct Axis {
  std::string title;
  Scale scale = Scale::linear;
  std::optional<double> from, to;                // default: the data's range; the frame cuts off the rest
  std::function<std::string(double)> tick_text;  // default: up to six significant digits
  Along along = Along::other;
  std::vector<Tick> ticks = {};  // ascending; empty: round numbers
};

// The progress of training at a point, as far as it is known.
struct TrainingPlace {
  double tokens = std::numeric_limits<double>::quiet_NaN();
  double steps = tokens, seconds = tokens;
};

// A point that is not finite (on a log axis: not positive) breaks the line. A band is drawn where low < high.
struct ChartPoint {
  double x = 0, y = 0;
  double low = 0, high = 0;
  std::string hint;  // tooltip; empty for none
  TrainingPlace place = {};
};

struct Series {
  std::string label;  // empty: not in the legend
  int color = 0;      // index into the page's palette; a repeated colour is dotted: is_dotted()
  double opacity = 1;
  std::vector<ChartPoint> points;
  bool dashed = false;
  std::string name = {};  // in the page's script; empty: the label
};

// The number of colours in the palette of chart_style.css: classes c0 ... c5.
inline constexpr int kPaletteSize = 6;
// Whether the line is dotted, to differ from the line of the same colour that is kPaletteSize series before it.
inline bool is_dotted(const Series& series) { return series.color / kPaletteSize % 2 == 1; }

struct Chart {
  std::string id;           // unique in the page
  std::string description;  // for screen readers
  double width = 360, height = 270;
  Axis x, y;
  std::vector<Series> series;
  std::optional<double> reference;  // a dashed horizontal line
  std::string reference_label;
};

// One <svg> element, all text escaped. A chart without a drawable point says so in its frame. For the page's script,
// data-frame holds the positions and ranges of the axes: left, right, top and bottom in the units of the viewBox, then
// the lowest and highest x and y. Each entry of the legend is a group whose data-series is the index of its series.
std::string svg_line_chart(const Chart& chart);

}  // namespace gptmoe
