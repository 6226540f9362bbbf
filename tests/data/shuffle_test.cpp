#include "data/shuffle.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace gptmoe {
namespace {

TEST(ShuffleTest, IsABijectionForEverySize) {
  for (int64_t count = 1; count <= 300; ++count) {
    std::vector<bool> seen(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      const int64_t to = shuffled_index(i, count, 5, 3);
      ASSERT_TRUE(to >= 0 && to < count);
      ASSERT_FALSE(seen[static_cast<size_t>(to)]) << i << " of " << count;
      seen[static_cast<size_t>(to)] = true;
    }
  }
}

TEST(ShuffleTest, IsABijectionForLargeSizesToo) {
  const int64_t count = (int64_t{1} << 40) + 12345;
  std::set<int64_t> seen;
  for (int64_t i = 0; i < 1000; ++i) seen.insert(shuffled_index(count - 1 - i, count, 5, 3));
  EXPECT_EQ(seen.size(), 1000u);
  EXPECT_GE(*seen.begin(), 0);
  EXPECT_LT(*seen.rbegin(), count);
}

// Over many epochs every window must come first about equally often: with 64 windows and 6,400 epochs, 100 +- 10 times.
TEST(ShuffleTest, FirstPlaceIsUniform) {
  std::vector<int> hits(64);
  for (uint64_t epoch = 0; epoch < 6400; ++epoch) ++hits[static_cast<size_t>(shuffled_index(0, 64, 9, epoch))];
  for (int hit : hits) EXPECT_NEAR(hit, 100, 50);
}

}  // namespace
}  // namespace gptmoe
