#include "base/statistics.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gptmoe {
namespace {

TEST(Statistics, MeanSampleDeviationAndRange) {
  const Statistics spread = statistics_of({1, 2, 6});
  EXPECT_DOUBLE_EQ(spread.mean, 3);
  EXPECT_DOUBLE_EQ(spread.std, std::sqrt(7.0));  // (4 + 1 + 9) / 2
  EXPECT_EQ(spread.min, 1);
  EXPECT_EQ(spread.max, 6);
  EXPECT_EQ(spread.count, 3);
  EXPECT_TRUE(std::isnan(statistics_of({5}).std));
  EXPECT_EQ(statistics_of({}).count, 0);
}

}  // namespace
}  // namespace gptmoe
