#pragma once
// Tests whether b differs from a, on measurements in pairs: the same items scored by two models, or the same seeds in
// two arms. Effects that both members of a pair share cancel in their difference.
#include <cstdint>
#include <vector>

#include "base/statistics.h"

namespace gptmoe {

inline constexpr double kConfidence = 0.95;

struct PairedTest {
  int64_t pairs = 0;
  double difference = kUnknown;            // mean of b - a; unknown without pairs
  double low = kUnknown, high = kUnknown;  // its confidence interval; unknown if the pairs give none
  double p = kUnknown;                     // two-sided; unknown without an interval, except that McNemar's is 1 then

  // Whether the interval excludes zero, which is so if p < 1 - kConfidence.
  bool decided() const { return low > 0 || high < 0; }
};

// Student's t on the differences b - a. Fewer than two pairs give no interval.
PairedTest paired_t_test(const std::vector<double>& differences);

// McNemar's exact test on `pairs` items that each model gets right or wrong. Model a alone gets `only_a` of them right,
// and model b alone gets `only_b` of them right. If neither model is better, each of these items is equally likely to
// be a's or b's, so p comes from the binomial distribution. The interval is derived from Clopper and Pearson's interval
// for the share of these items that b gets right. There is no interval if the models never differ.
PairedTest mcnemar_test(int64_t pairs, int64_t only_a, int64_t only_b);

}  // namespace gptmoe
