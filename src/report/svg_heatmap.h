#pragma once
#include <string>
#include <vector>

namespace gptmoe {

// A grid of ratios around 1 as inline SVG: below 1 in one hue (full at 0), above in another (full at `full`).
struct Heatmap {
  std::string description;  // for screen readers
  double width = 480;
  std::vector<std::vector<double>> values;  // [row][column], rows may differ in length
  std::vector<std::string> row_labels;      // one per row
  std::string first_column, last_column;    // what the outer columns mean
  double full = 2;                          // > 1
};

// One <svg> element; the value is each cell's tooltip, and is printed where cells are wide enough.
std::string svg_heatmap(const Heatmap& heatmap);

}  // namespace gptmoe
