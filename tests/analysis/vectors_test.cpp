#include "analysis/vectors.h"

#include <gtest/gtest.h>

#include <cmath>

namespace gptmoe {
namespace {

TEST(Vectors, LengthsAndAngles) {
  EXPECT_DOUBLE_EQ(norm_of({3, 0, -4}), 5);
  EXPECT_DOUBLE_EQ(distance_between({1, 1}, {4, 5}), 5);
  EXPECT_DOUBLE_EQ(cosine_of({1, 0}, {1, 1}), std::sqrt(0.5));
  EXPECT_DOUBLE_EQ(cosine_of({1, 2}, {-2, -4}), -1);
  EXPECT_TRUE(std::isnan(cosine_of({0, 0}, {1, 0})));
}

TEST(Vectors, TablesOfCosines) {
  const Table cosines = cosines_between({{2, 0}, {0, 3}, {1, 1}});
  const double half = std::sqrt(0.5);
  const Table expected = {{1, 0, half}, {0, 1, half}, {half, half, 1}};
  for (size_t i = 0; i < 3; ++i)
    for (size_t j = 0; j < 3; ++j) EXPECT_NEAR(cosines[i][j], expected[i][j], 1e-15) << i << " " << j;
  EXPECT_NEAR(mean_off_diagonal(cosines), 2 * half / 3, 1e-15);
}

TEST(Vectors, AZeroVectorHasNoAngleAndIsLeftOutOfTheMean) {
  const Table cosines = cosines_between({{1, 0}, {0, 0}, {1, 1}});
  EXPECT_TRUE(std::isnan(cosines[0][1]));
  EXPECT_TRUE(std::isnan(cosines[1][1]));
  EXPECT_NEAR(mean_off_diagonal(cosines), std::sqrt(0.5), 1e-15);
  EXPECT_TRUE(std::isnan(mean_off_diagonal({{1}})));
}

}  // namespace
}  // namespace gptmoe
