#include "base/statistics.h"

#include <algorithm>
#include <cmath>

namespace gptmoe {

Statistics statistics_of(const std::vector<double>& values) {
  Statistics spread;
  spread.count = static_cast<int64_t>(values.size());
  if (values.empty()) return spread;
  double sum = 0, squares = 0;
  for (double value : values) sum += value;
  spread.mean = sum / static_cast<double>(values.size());
  for (double value : values) squares += (value - spread.mean) * (value - spread.mean);
  if (values.size() > 1) spread.std = std::sqrt(squares / static_cast<double>(values.size() - 1));
  spread.min = *std::min_element(values.begin(), values.end());
  spread.max = *std::max_element(values.begin(), values.end());
  return spread;
}

}  // namespace gptmoe
