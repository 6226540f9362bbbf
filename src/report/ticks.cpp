#include "report/ticks.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace gptmoe {

std::vector<double> nice_ticks(double low, double high, int count) {
  GPTMOE_CHECK(low < high && count > 0);
  const double rough = (high - low) / count;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  const double lead = rough / power;
  const double step = power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
  std::vector<double> ticks;
  // Adding 0.0 turns -0 into 0. The small tolerance ensures that rounding does not drop an end that is itself a tick.
  for (double k = std::ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; ++k) ticks.push_back(k * step + 0.0);
  return ticks;
}

std::vector<double> log_ticks(double low, double high, int count) {
  GPTMOE_CHECK(0 < low && low < high && count > 0);
  const double decades = std::log10(high / low);
  if (high / low < 5) return nice_ticks(low, high, count);
  const std::vector<double> leads = decades < 1 ? std::vector<double>{1, 2, 3, 5, 7} : std::vector<double>{1, 2, 5};
  const bool sparse = decades >= 1 && 3 * decades > 2 * count;
  const auto stride = std::max(1.0, std::ceil(decades / (2 * count)));
  std::vector<double> ticks;
  for (double decade = std::floor(std::log10(low)); std::pow(10.0, decade) <= high; ++decade)
    for (double lead : leads) {
      const double tick = lead * std::pow(10.0, decade);
      if (tick < low || tick > high * (1 + 1e-12) || (sparse && lead != 1) || std::fmod(decade, stride) != 0) continue;
      ticks.push_back(tick);
    }
  return ticks;
}

}  // namespace gptmoe
