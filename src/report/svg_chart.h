#pragma once
// A line chart with bands as inline SVG. Colours are CSS classes of the surrounding page (report/page_style.h), so one
// picture suits light and dark pages.
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace gptmoe {

enum class Scale { linear, log };

struct Axis {
  std::string title;
  Scale scale = Scale::linear;
  std::optional<double> from, to;                // default: the data's range; the frame cuts off the rest
  std::function<std::string(double)> tick_text;  // default: up to six significant digits
};

// A point that is not finite (on a log axis: not positive) breaks the line. A band is drawn where low < high.
struct ChartPoint {
  double x = 0, y = 0;
  double low = 0, high = 0;
  std::string hint;  // tooltip; empty for none
};

struct Series {
  std::string label;  // empty: not in the legend
  int color = 0;      // index into the page's palette, which repeats
  double opacity = 1;
  std::vector<ChartPoint> points;
  bool dashed = false;
};

struct Chart {
  std::string id;           // unique in the page
  std::string description;  // for screen readers
  double width = 480, height = 300;
  Axis x, y;
  std::vector<Series> series;
  std::optional<double> reference;  // a dashed horizontal line
  std::string reference_label;
};

// One <svg> element, all text escaped. A chart without a drawable point says so in its frame.
std::string svg_line_chart(const Chart& chart);

// Colours in the palette of report/page_style.h: classes c0 ... c5.
inline constexpr int kPaletteSize = 6;

}  // namespace gptmoe
