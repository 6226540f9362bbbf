#include "base/paired_test.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gptmoe {
namespace {

// Student's data of 1908: hours of sleep that ten patients gained by two drugs.
TEST(PairedTTest, StudentsSleepData) {
  const std::vector<double> a = {1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4},
                            b = {0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0};
  std::vector<double> differences;
  for (size_t i = 0; i < a.size(); ++i) differences.push_back(b[i] - a[i]);
  const PairedTest test = paired_t_test(differences);
  EXPECT_EQ(test.pairs, 10);
  EXPECT_NEAR(test.difference, -1.58, 1e-12);
  EXPECT_NEAR(test.low, -2.4598858, 1e-7);
  EXPECT_NEAR(test.high, -0.7001142, 1e-7);
  EXPECT_NEAR(test.p, 0.002833, 5e-7);
  EXPECT_TRUE(test.decided());
}

TEST(PairedTTest, DecidesExactlyWhereTheIntervalExcludesZero) {
  // t = mean sqrt(3) / 0.01, and 4.3027 is needed.
  const double needed = 4.302652729749464 * 0.01 / std::sqrt(3.0);
  for (const double mean : {0.99 * needed, 1.01 * needed, -0.99 * needed, -1.01 * needed}) {
    const PairedTest test = paired_t_test({mean - 0.01, mean, mean + 0.01});
    EXPECT_EQ(test.decided(), std::abs(mean) > needed) << mean;
    EXPECT_EQ(test.p < 0.05, test.decided()) << mean;
  }
}

TEST(PairedTTest, WhatHasNoInterval) {
  EXPECT_TRUE(std::isnan(paired_t_test({}).difference));
  const PairedTest one = paired_t_test({0.5});
  EXPECT_EQ(one.difference, 0.5);
  EXPECT_TRUE(std::isnan(one.low) && std::isnan(one.p));
  EXPECT_FALSE(one.decided());
  const PairedTest same = paired_t_test({0, 0, 0});
  EXPECT_EQ(same.p, 1);
  EXPECT_FALSE(same.decided());
  EXPECT_EQ(paired_t_test({0.5, 0.5}).p, 0);
  EXPECT_TRUE(std::isnan(paired_t_test({0.5, kUnknown}).p));
}

// Agresti's 1600 Britons, asked twice for their approval of the Prime Minister: 150 changed to disapproval, 86 to
// approval.
TEST(McNemarTest, ApprovalRatings) {
  const PairedTest test = mcnemar_test(1600, 150, 86);
  EXPECT_EQ(test.pairs, 1600);
  EXPECT_DOUBLE_EQ(test.difference, -64.0 / 1600);
  EXPECT_NEAR(test.p, 3.716e-5, 5e-9);
  EXPECT_TRUE(test.decided());
}

// Clopper and Pearson's interval for 4 of 10 is 0.1216 to 0.7376 in tables.
TEST(McNemarTest, TheIntervalIsThatOfTheShare) {
  const PairedTest test = mcnemar_test(10, 6, 4);
  EXPECT_NEAR(test.low, 2 * 0.1216 - 1, 1e-4);
  EXPECT_NEAR(test.high, 2 * 0.7376 - 1, 1e-4);
  EXPECT_NEAR(mcnemar_test(200, 6, 4).high, test.high / 20, 1e-12);
  EXPECT_NEAR(mcnemar_test(10, 4, 6).high, -test.low, 1e-12);
}

TEST(McNemarTest, SmallCountsByHand) {
  EXPECT_NEAR(mcnemar_test(100, 1, 9).p, 2 * 11 / 1024.0, 1e-15);  // nine or ten heads of ten, or tails
  EXPECT_NEAR(mcnemar_test(100, 9, 1).p, 2 * 11 / 1024.0, 1e-15);
  EXPECT_DOUBLE_EQ(mcnemar_test(100, 3, 3).p, 1);
  EXPECT_NEAR(mcnemar_test(100, 0, 5).p, 2 / 32.0, 1e-15);
  // With all five on one side, the share of b is at least 0.025^(1/5).
  EXPECT_NEAR(mcnemar_test(100, 0, 5).low, 0.05 * (2 * std::pow(0.025, 0.2) - 1), 1e-12);
  EXPECT_DOUBLE_EQ(mcnemar_test(100, 0, 5).high, 0.05);
  EXPECT_DOUBLE_EQ(mcnemar_test(100, 5, 0).low, -0.05);
}

TEST(McNemarTest, DecidesExactlyWhereTheIntervalExcludesZero) {
  int64_t decided = 0;
  for (int64_t a = 0; a <= 12; ++a)
    for (int64_t b = 0; b <= 12; ++b) {
      const PairedTest test = mcnemar_test(50, a, b);
      EXPECT_EQ(test.decided(), test.p < 0.05) << a << " " << b;
      decided += test.decided();
    }
  EXPECT_GT(decided, 20);
  EXPECT_LT(decided, 149);
}

TEST(McNemarTest, RunsThatNeverDifferGiveNoInterval) {
  const PairedTest test = mcnemar_test(50, 0, 0);
  EXPECT_EQ(test.difference, 0);
  EXPECT_EQ(test.p, 1);
  EXPECT_TRUE(std::isnan(test.low) && std::isnan(test.high));
  EXPECT_FALSE(test.decided());
  EXPECT_EQ(mcnemar_test(0, 0, 0).pairs, 0);
}

}  // namespace
}  // namespace gptmoe
