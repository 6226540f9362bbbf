#include "bench/measure.h"

#include <gtest/gtest.h>

namespace gptmoe {
namespace {

TEST(Median, IsTheMiddleValueOrTheMeanOfTheTwoMiddleValues) {
  EXPECT_EQ(median(std::vector<double>{7}), 7);
  EXPECT_EQ(median(std::vector<double>{3, 1, 2}), 2);
  EXPECT_EQ(median(std::vector<double>{4, 1}), 2.5);
  EXPECT_EQ(median(std::vector<double>{40, 1, 2, 3}), 2.5);
}

TEST(Median, IndexIsThatOfAMeasuredValue) {
  EXPECT_EQ(median_index({7}), 0u);
  EXPECT_EQ(median_index({3, 1, 2}), 2u);
  EXPECT_EQ(median_index({4, 1}), 1u) << "the lower of two";
  EXPECT_EQ(median_index({40, 3, 1, 2}), 3u);
  EXPECT_EQ(median_index({5, 5, 5}), 1u);
}

// The ranks are those of a table of the sign test: 1 and 6 of 6 values, 2 and 9 of 10, 14 and 28 of 41.
TEST(Median, IntervalIsThatOfTheSignTest) {
  const auto count_to = [](int n) {
    std::vector<double> values;
    for (int i = n; i > 0; --i) values.push_back(i);
    return values;
  };
  EXPECT_FALSE(median_interval({}));
  EXPECT_FALSE(median_interval(count_to(5)));
  for (const auto& [n, low, high] : {std::tuple{6, 1, 6}, std::tuple{10, 2, 9}, std::tuple{41, 14, 28}}) {
    const auto interval = median_interval(count_to(n));
    ASSERT_TRUE(interval) << n;
    EXPECT_EQ(interval->low, low) << n;
    EXPECT_EQ(interval->high, high) << n;
  }
}

TEST(CeilingsTest, BestAndMedianAreTakenForEachRateSeparately) {
  const std::vector<Ceilings> measured = {{10, 300}, {30, 100}, {20, 250}};
  EXPECT_EQ(best(measured).flops, 30);
  EXPECT_EQ(best(measured).bytes, 300);
  EXPECT_EQ(median(measured).flops, 20);
  EXPECT_EQ(median(measured).bytes, 250);
}

TEST(TimingTest, HasTheFastestAndTheMedian) {
  const Timing timing = timing_of({4, 1, 3, 2});
  EXPECT_EQ(timing.fastest, 1);
  EXPECT_EQ(timing.median, 2.5);
}

}  // namespace
}  // namespace gptmoe
