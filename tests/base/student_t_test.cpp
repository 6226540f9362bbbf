#include "base/student_t.h"

#include <gtest/gtest.h>

namespace gptmoe {
namespace {

// Published quantiles.
TEST(StudentT, Bounds) {
  const struct {
    double probability;
    int64_t degrees;
    double bound;
  } known[] = {{0.95, 1, 12.7062047}, {0.95, 2, 4.3026527},   {0.95, 3, 3.1824463},  {0.95, 4, 2.7764451},
               {0.95, 5, 2.5705818},  {0.95, 9, 2.2621572},   {0.95, 10, 2.2281389}, {0.95, 30, 2.0422725},
               {0.95, 99, 1.9842170}, {0.95, 999, 1.9623415}, {0.99, 2, 9.9248432},  {0.90, 7, 1.8945786},
               {0.50, 1, 1.0}};
  for (const auto& [probability, degrees, bound] : known)
    EXPECT_NEAR(student_t_bound(probability, degrees), bound, 1e-6) << probability << " " << degrees;
}

TEST(StudentT, TheTailBeyondABoundIsWhatTheBoundLeavesOut) {
  for (const int64_t degrees : {1, 2, 3, 10, 999})
    for (const double probability : {0.1, 0.5, 0.95, 0.9999})
      EXPECT_NEAR(student_t_beyond(student_t_bound(probability, degrees), degrees), 1 - probability, 1e-12)
          << probability << " " << degrees;
  EXPECT_EQ(student_t_beyond(0, 5), 1);
  EXPECT_EQ(student_t_beyond(-3, 5), student_t_beyond(3, 5));
  // One degree: 1 - 2/pi arctan(t), which is about 2 / (pi t) for large t.
  EXPECT_NEAR(student_t_beyond(1e9, 1) / 6.366197723675814e-10, 1, 1e-9);
}

}  // namespace
}  // namespace gptmoe
