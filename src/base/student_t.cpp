#include "base/student_t.h"

#include <cmath>
#include <numbers>

#include "base/check.h"
#include "base/incomplete_beta.h"

namespace gptmoe {
namespace {

// P(|T| <= t) for t = sqrt(degrees) tan(angle). For whole degrees of freedom it is a finite sum of powers of the cosine
// (Abramowitz and Stegun, 26.7.3 and 26.7.4).
double probability_within(double angle, int64_t degrees) {
  const bool odd = degrees % 2 != 0;
  const double cosine = std::cos(angle);
  double term = odd ? cosine : 1, sum = degrees > 1 ? term : 0;
  for (int64_t power = odd ? 3 : 2; power <= degrees - 2; power += 2) {
    term *= cosine * cosine * static_cast<double>(power - 1) / static_cast<double>(power);
    sum += term;
  }
  return odd ? 2 / std::numbers::pi * (angle + std::sin(angle) * sum) : std::sin(angle) * sum;
}

}  // namespace

double student_t_bound(double probability, int64_t degrees) {
  GPTMOE_CHECK(probability > 0 && probability < 1 && degrees >= 1, probability, ", ", degrees);
  double low = 0, high = std::numbers::pi / 2;
  while (true) {
    const double middle = low + 0.5 * (high - low);
    if (middle == low || middle == high) break;
    (probability_within(middle, degrees) < probability ? low : high) = middle;
  }
  return std::sqrt(static_cast<double>(degrees)) * std::tan(low);
}

double student_t_beyond(double t, int64_t degrees) {
  GPTMOE_CHECK(degrees >= 1, degrees);
  const auto n = static_cast<double>(degrees);
  return incomplete_beta(n / (n + t * t), n / 2, 0.5);
}

}  // namespace gptmoe
