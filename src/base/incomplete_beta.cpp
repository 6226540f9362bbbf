#include "base/incomplete_beta.h"

#include <cmath>

#include "base/check.h"

namespace gptmoe {
namespace {

// 1 + d_1 / (1 + d_2 / (1 + ...)), from the front by Lentz's method (Abramowitz and Stegun, 26.5.8).
double continued_fraction(double x, double a, double b) {
  constexpr double kTiny = 1e-300, kEnough = 1e-15;
  constexpr int kMostTerms = 100000;
  const auto not_zero = [](double value) { return std::abs(value) < kTiny ? kTiny : value; };
  double value = 1, numerators = 1, denominators = 0;  // A_n / B_n, A_n / A_(n-1), B_(n-1) / B_n
  for (int term = 1; term <= kMostTerms; ++term) {
    const double m = term / 2;
    const double d = term % 2 == 0 ? m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
                                   : -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    denominators = 1 / not_zero(1 + d * denominators);
    numerators = not_zero(1 + d / numerators);
    value *= numerators * denominators;
    if (std::abs(numerators * denominators - 1) < kEnough) return value;
  }
  return value;
}

}  // namespace

double incomplete_beta(double x, double a, double b) {
  GPTMOE_CHECK(a > 0 && b > 0, a, ", ", b);
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  // Above the mean the fraction converges slowly, and the other tail is the smaller one.
  if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(1 - x, b, a);
  const double log_front = std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x);
  return std::exp(log_front) / (a * continued_fraction(x, a, b));
}

}  // namespace gptmoe
