#pragma once
// Is b different from a? Tests on measurements in pairs: the same items scored by two models, the same seeds in two
// arms. What the pairs share cancels in their differences.
#include <cstdint>
#include <vector>

#include "base/statistics.h"

namespace gptmoe {

inline constexpr double kConfidence = 0.95;

struct PairedTest {
  int64_t pairs = 0;
  double difference = kUnknown;            // mean of b - a; unknown without pairs
  double low = kUnknown, high = kUnknown;  // its interval of kConfidence; unknown if the pairs give none
  double p = kUnknown;                     // two-sided; unknown if the interval is, except that equal pairs have p = 1

  // Whether the interval excludes zero, which is so if p < 1 - kConfidence.
  bool decided() const { return low > 0 || high < 0; }
};

// Student's t on the differences b - a. Fewer than two pairs give no interval.
PairedTest paired_t_test(const std::vector<double>& differences);

// McNemar's exact test on `pairs` items that each model gets right or wrong: `only_a` and `only_b` items are right in
// one of them only. If neither is better, each of those is right in a or in b with equal probability, so p is binomial.
// The interval is that of Clopper and Pearson for the share of b among them, given how many they are. There is none if
// the models never differ.
PairedTest mcnemar_test(int64_t pairs, int64_t only_a, int64_t only_b);

}  // namespace gptmoe
