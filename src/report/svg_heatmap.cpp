#include "report/svg_heatmap.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "report/markup.h"
#include "report/number_text.h"

namespace gptmoe {
namespace {

constexpr double kLegible = 34;  // pixels that a cell needs to show its number

struct Box {
  double x, y, width, height;
};

std::string cell(const Heatmap& map, const Box& box, double value, const std::string& hint) {
  const bool under = value < map.middle;
  const double whole = under ? map.middle - map.low : map.full - map.middle;
  const double strength = std::clamp(std::fabs(value - map.middle) / whole, 0.0, 1.0);
  const auto [x, y, width, height] = box;
  std::string out = text("<g><title>", escape(hint), "</title><rect class=\"cell\" x=\"", coordinate(x), "\" y=\"",
                         coordinate(y), "\" width=\"", coordinate(width), "\" height=\"", coordinate(height), "\"/>");
  if (std::isfinite(value))
    out += text("<rect class=\"", under ? "under" : "over", "\" opacity=\"", fixed(0.9 * strength, 3), "\" x=\"",
                coordinate(x), "\" y=\"", coordinate(y), "\" width=\"", coordinate(width), "\" height=\"",
                coordinate(height), "\"/>");
  if (width >= kLegible)
    out += text("<text class=\"value\" x=\"", coordinate(x + 0.5 * width), "\" y=\"", coordinate(y + 0.5 * height + 4),
                "\" text-anchor=\"middle\">", std::isfinite(value) ? fixed(value, 2) : "?", "</text>");
  return out + "</g>";
}

}  // namespace

std::string svg_heatmap(const Heatmap& map) {
  GPTMOE_CHECK(map.row_labels.size() == map.values.size() && map.low < map.middle && map.middle < map.full);
  double left = 0;
  size_t columns = 1;
  for (size_t r = 0; r < map.values.size(); ++r) {
    left = std::max(left, text_width(map.row_labels[r], kFont) + 8);
    columns = std::max(columns, map.values[r].size());
  }
  const double cell_width = (map.width - left) / static_cast<double>(columns);
  const double row_height = map.values.size() > 16 ? 16 : 24;
  const double gap = cell_width > 8 ? 2 : 0;
  const double bottom = row_height * static_cast<double>(map.values.size());

  std::string out = text("<svg viewBox=\"0 0 ", coordinate(map.width), " ", coordinate(bottom + 22),
                         "\" role=\"img\" aria-label=\"", escape(map.description), "\">");
  for (size_t r = 0; r < map.values.size(); ++r) {
    const double y = row_height * static_cast<double>(r);
    out += text("<text class=\"tick\" x=\"", coordinate(left - 8), "\" y=\"", coordinate(y + 0.5 * row_height + 4),
                "\" text-anchor=\"end\">", escape(map.row_labels[r]), "</text>");
    for (size_t c = 0; c < map.values[r].size(); ++c)
      out +=
          cell(map, {left + cell_width * static_cast<double>(c), y, cell_width - gap, row_height - 2}, map.values[r][c],
               text(map.row_labels[r], ", ",
                    c < map.column_labels.size() ? map.column_labels[c]
                                                 : text("number ", c + 1, " of ", map.values[r].size()),
                    ": ", fixed(map.values[r][c], 3)));
  }
  out += text("<text class=\"tick\" x=\"", coordinate(left), "\" y=\"", coordinate(bottom + 15), "\">",
              escape(map.first_column), "</text><text class=\"tick\" x=\"", coordinate(map.width - gap), "\" y=\"",
              coordinate(bottom + 15), "\" text-anchor=\"end\">", escape(map.last_column), "</text>");
  return out + "</svg>";
}

}  // namespace gptmoe
