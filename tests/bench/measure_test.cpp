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
