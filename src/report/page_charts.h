#pragma once
// The charts of one page: the pictures that its markup shows, and the numbers that its script reads.
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "report/svg_chart.h"

namespace gptmoe {

class PageCharts {
 public:
  // Returns a <figure> with data-chart: the title, which is escaped and may be empty, and the chart below it. The
  // chart's id must be new.
  std::string add(const std::string& title, const Chart& chart);
  // Like add(), for a chart that is as wide as the page. The markup has the chart at three widths; the page's style
  // shows the one that fits the window.
  std::string add_wide(Chart chart);

  // All charts added so far as JSON without a "<", so that it may be the text of a <script>.
  //   columns[][]: numbers; null: unknown. Equal columns are stored once, and charts refer to them by index.
  //   charts {ID: description, x {title, along ("tokens", "steps", "seconds" or ""), log, ticks[] [value, text]},
  //     y {title, log, from, to (null: as the data)}, reference (null: none) [value, text],
  //     series[]: name, label (empty: not in the legend), color, opacity, dashed, dotted, x, y, low and high (null: no
  //       band), tokens, steps and seconds (null: unknown), each an index into columns}
  // Numbers have six significant digits; tokens, steps and seconds have nine.
  std::string data() const;

 private:
  nlohmann::ordered_json column(const std::vector<double>& values, int digits);
  nlohmann::ordered_json series_json(const Series& series);
  void keep(const Chart& chart);

  nlohmann::ordered_json columns_ = nlohmann::ordered_json::array(), charts_ = nlohmann::ordered_json::object();
  std::map<std::string, size_t> known_;  // the index of a column by its JSON
};

}  // namespace gptmoe
