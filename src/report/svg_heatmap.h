#pragma once
#include <string>
#include <vector>

namespace gptmoe {

// A grid of numbers as inline SVG: one hue below `middle` (strongest at `low`), another above it (strongest at `full`).
// The defaults suit ratios around 1.
struct Heatmap {
  std::string description;  // for screen readers
  double width = 360;
  std::vector<std::vector<double>> values;  // [row][column], rows may differ in length
  std::vector<std::string> row_labels;      // one per row
  std::string first_column, last_column;    // labels of the outer columns
  double low = 0, middle = 1, full = 2;     // ascending
  std::vector<std::string> column_labels;   // for tooltips; empty: "number 3 of 8"
};

// One <svg> element; each cell has its value as a tooltip, and prints it if the cells are wide enough.
std::string svg_heatmap(const Heatmap& heatmap);

}  // namespace gptmoe
