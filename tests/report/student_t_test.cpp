#include "report/student_t.h"

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

}  // namespace
}  // namespace gptmoe
