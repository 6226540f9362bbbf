#include "base/incomplete_beta.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gptmoe {
namespace {

// P(at least k of n), computed as a sum.
double binomial_sum(int k, int n, double p) {
  double sum = 0;
  for (int i = n; i >= k; --i)
    sum += std::exp(std::lgamma(n + 1.0) - std::lgamma(i + 1.0) - std::lgamma(n - i + 1.0) + i * std::log(p) +
                    (n - i) * std::log1p(-p));
  return sum;
}

TEST(IncompleteBeta, ClosedForms) {
  EXPECT_NEAR(incomplete_beta(0.3, 1, 1), 0.3, 1e-15);
  EXPECT_NEAR(incomplete_beta(0.3, 4, 1), std::pow(0.3, 4), 1e-15);
  EXPECT_NEAR(incomplete_beta(0.3, 1, 4), 1 - std::pow(0.7, 4), 1e-15);
  EXPECT_NEAR(incomplete_beta(0.25, 0.5, 0.5), 1.0 / 3, 1e-15);  // 2/pi arcsin(sqrt(x))
  for (const double a : {0.5, 3.0, 1000.0}) EXPECT_NEAR(incomplete_beta(0.5, a, a), 0.5, 1e-12) << a;
  EXPECT_EQ(incomplete_beta(0, 2, 3), 0);
  EXPECT_EQ(incomplete_beta(1, 2, 3), 1);
}

TEST(IncompleteBeta, TailsOfTheBinomialDistribution) {
  for (const int n : {1, 7, 100, 5000})
    for (const double p : {0.01, 0.5, 0.93})
      for (const double z : {-4.0, 0.0, 4.0, 12.0}) {
        const int k = static_cast<int>(n * p + z * std::sqrt(n * p * (1 - p)));
        if (k < 1 || k > n) continue;
        const double expected = binomial_sum(k, n, p);
        EXPECT_NEAR(incomplete_beta(p, k, n - k + 1) / expected, 1, 1e-9) << n << " " << p << " " << k;
      }
}

}  // namespace
}  // namespace gptmoe
