#pragma once
// Mean and spread of repeated measurements.
#include <cstdint>
#include <limits>
#include <vector>

namespace gptmoe {

inline constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

struct Statistics {
  double mean = kUnknown;
  double std = kUnknown;  // sample standard deviation (n - 1); unknown for a single value
  double min = kUnknown;
  double max = kUnknown;
  int64_t count = 0;
};
Statistics statistics_of(const std::vector<double>& values);

}  // namespace gptmoe
