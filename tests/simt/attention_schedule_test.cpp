// The order in which the blocks of the attention kernels take tiles.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "kernels/cuda/attention.cuh"

namespace gptmoe::cuda {
namespace {

struct Taken {
  int head, rank;
  auto operator<=>(const Taken&) const = default;
};

std::vector<Taken> order(const AttentionSchedule& schedule) {
  std::vector<Taken> taken;
  for (unsigned block = 0; block < schedule.blocks(); ++block) {
    const auto work = schedule.work(block);
    taken.push_back({work.head, work.rank});
  }
  return taken;
}

TEST(AttentionSchedule, TakesEveryTileOnce) {
  for (int64_t heads : {1, 7, 10})
    for (int64_t tiles : {1, 3})
      for (int64_t head_bytes : {int64_t{0}, int64_t{1}, int64_t{4} << 20, int64_t{1} << 40}) {
        const AttentionSchedule schedule(heads, tiles, head_bytes);
        ASSERT_EQ(schedule.last_rank(), tiles - 1);
        std::set<Taken> expected;
        for (int head = 0; head < heads; ++head)
          for (int rank = 0; rank < tiles; ++rank) expected.insert({head, rank});
        const std::vector<Taken> taken = order(schedule);
        ASSERT_EQ(taken.size(), expected.size());
        EXPECT_EQ(std::set<Taken>(taken.begin(), taken.end()), expected);
      }
}

// Four heads fit into a section. They come first, largest tiles before smaller ones; then come the remaining heads.
TEST(AttentionSchedule, TakesSectionsOfHeadsWithTheLargestTilesFirst) {
  const std::vector<Taken> expected = {{0, 0}, {1, 0}, {2, 0}, {3, 0}, {0, 1}, {1, 1},
                                       {2, 1}, {3, 1}, {4, 0}, {5, 0}, {4, 1}, {5, 1}};
  EXPECT_EQ(order(AttentionSchedule(6, 2, int64_t{4} << 20)), expected);
}

}  // namespace
}  // namespace gptmoe::cuda
