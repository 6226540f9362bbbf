#pragma once
#include <string>
#include <vector>

namespace gptmoe {

// A grid of numbers around a middle as inline SVG: below it in one hue (full at `low`), above in another (full at
// `full`). As it stands, of ratios around 1.
struct Heatmap {
  std::string description;  // for screen readers
  double width = 480;
  std::vector<std::vector<double>> values;  // [row][column], rows may differ in length
  std::vector<std::string> row_labels;      // one per row
  std::string first_column, last_column;    // what the outer columns mean
  double low = 0, middle = 1, full = 2;     // ascending
  std::vector<std::string> column_labels;   // for tooltips; empty: "number 3 of 8"
};

// One <svg> element; the value is each cell's tooltip, and is printed where cells are wide enough.
std::string svg_heatmap(const Heatmap& heatmap);

}  // namespace gptmoe
