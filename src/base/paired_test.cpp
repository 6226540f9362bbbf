#include "base/paired_test.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/incomplete_beta.h"
#include "base/student_t.h"

namespace gptmoe {
namespace {

// The probability of at least `successes` in `trials`, each with probability `p`.
double binomial_at_least(int64_t successes, int64_t trials, double p) {
  if (successes <= 0) return 1;
  return incomplete_beta(p, static_cast<double>(successes), static_cast<double>(trials - successes + 1));
}

// The p in [0, 1] where binomial_at_least(successes, trials, p), which rises with p, equals `wanted`.
double share_at(double wanted, int64_t successes, int64_t trials) {
  double low = 0, high = 1;
  while (true) {
    const double middle = low + 0.5 * (high - low);
    if (middle <= low || middle >= high) return low;
    (binomial_at_least(successes, trials, middle) < wanted ? low : high) = middle;
  }
}

}  // namespace

PairedTest paired_t_test(const std::vector<double>& differences) {
  const Statistics spread = statistics_of(differences);
  PairedTest test{spread.count, spread.mean};
  if (spread.count < 2) return test;
  const double error = spread.std / std::sqrt(static_cast<double>(spread.count));
  const double reach = student_t_bound(kConfidence, spread.count - 1) * error;
  test.low = spread.mean - reach;
  test.high = spread.mean + reach;
  if (std::isnan(error)) return test;
  test.p = error > 0 ? student_t_beyond(spread.mean / error, spread.count - 1) : spread.mean == 0 ? 1 : 0;
  return test;
}

PairedTest mcnemar_test(int64_t pairs, int64_t only_a, int64_t only_b) {
  GPTMOE_CHECK(only_a >= 0 && only_b >= 0 && only_a + only_b <= pairs, pairs, ", ", only_a, ", ", only_b);
  if (pairs == 0) return {};
  const int64_t differ = only_a + only_b;
  const auto per_pair = [&](double items) { return items / static_cast<double>(pairs); };
  PairedTest test{pairs, per_pair(static_cast<double>(only_b - only_a))};
  test.p = std::min(1.0, 2 * binomial_at_least(std::max(only_a, only_b), differ, 0.5));
  if (differ == 0) return test;
  constexpr double kTail = (1 - kConfidence) / 2;
  const double least = only_b == 0 ? 0 : share_at(kTail, only_b, differ);
  const double most = only_b == differ ? 1 : share_at(1 - kTail, only_b + 1, differ);
  test.low = per_pair(static_cast<double>(differ) * (2 * least - 1));
  test.high = per_pair(static_cast<double>(differ) * (2 * most - 1));
  return test;
}

}  // namespace gptmoe
