// Checks that the simulator notices the bugs it is meant to find.
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "simt/device.h"

namespace {

using simt::KernelError;

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const KernelError& error) {
    return error.what();
  }
  return "no error";
}

TEST(SimtTest, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> runs(3 * 2 * 2 * 40 * 2, 0);
  simt::launch({3, 2, 2}, {40, 2, 1}, 0, [&] {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * threadIdx.y;
    ++runs[block * blockDim.x * blockDim.y + thread];
  });
  EXPECT_EQ(runs, std::vector<int>(runs.size(), 1));
}

TEST(SimtTest, BarriersOrderAccessesToSharedMemory) {
  std::vector<int> out(100);
  simt::launch({1}, {100}, 100 * sizeof(int), [&] {
    auto* shared = reinterpret_cast<int*>(simt::shared_memory());
    const int i = static_cast<int>(threadIdx.x);
    shared[i] = i;
    __syncthreads();
    const int neighbour = shared[(i + 1) % 100];
    __syncthreads();
    shared[i] = neighbour;
    __syncthreads();
    out[static_cast<size_t>(i)] = shared[(i + 1) % 100];
  });
  for (int i = 0; i < 100; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], (i + 2) % 100);
}

#ifndef __clang__  // which traces accesses, so that the race is reported
// Without a barrier the result depends on the order of the threads, which changes from run to run.
TEST(SimtTest, AMissingBarrierShows) {
  std::set<int> sums;
  for (int run = 0; run < 20; ++run) {
    int sum = 0;
    simt::launch({1}, {64}, 64 * sizeof(int), [&] {
      auto* shared = reinterpret_cast<int*>(simt::shared_memory());
      shared[threadIdx.x] = 1;
      sum += shared[(threadIdx.x + 1) % 64];  // 1, or poison if that thread has not written yet
    });
    sums.insert(sum);
  }
  EXPECT_GT(sums.size(), 5u);
  EXPECT_FALSE(sums.contains(64));
}
#endif

TEST(SimtTest, WarpOperations) {
  simt::launch({1}, {64}, 0, [] {
    const int lane = simt::lane();
    int sum = lane;
    for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(0xFFFFFFFFu, sum, bits);
    if (sum != 496) throw std::runtime_error("xor");
    if (__shfl_sync(0xFFFFFFFFu, lane, 7) != 7) throw std::runtime_error("idx");
    if (__shfl_up_sync(0xFFFFFFFFu, lane, 1) != std::max(lane - 1, 0)) throw std::runtime_error("up");
    if (__shfl_down_sync(0xFFFFFFFFu, lane, 3) != (lane + 3 < 32 ? lane + 3 : lane)) throw std::runtime_error("down");
    if (__ballot_sync(0xFFFFFFFFu, lane % 2 == 0) != 0x55555555u) throw std::runtime_error("ballot");
    if (__match_any_sync(0xFFFFFFFFu, lane % 4) != 0x11111111u << lane % 4) throw std::runtime_error("match");
    if (lane < 8 && __shfl_xor_sync(0xFFu, lane, 1) != (lane ^ 1)) throw std::runtime_error("part of a warp");
    __syncwarp();
  });
}

TEST(SimtTest, NamedBarriersJoinPartsOfABlock) {
  std::vector<int> first(64, 0);
  simt::launch({1}, {128}, 64 * sizeof(int), [&] {
    auto* shared = reinterpret_cast<int*>(simt::shared_memory());
    const unsigned i = threadIdx.x;
    if (i >= 64) return;
    shared[i] = static_cast<int>(i);
    simt::barrier(3, 64);
    first[i] = shared[63 - i];
  });
  for (int i = 0; i < 64; ++i) EXPECT_EQ(first[static_cast<size_t>(i)], 63 - i);
}

TEST(SimtTest, DeadlocksAreReported) {
  const std::string error = error_of([] {
    simt::launch({1}, {32}, 0, [] {
      if (threadIdx.x != 5) __syncthreads();
    });
  });
  EXPECT_NE(error.find("deadlock: block (0, 0, 0) thread (0, 0, 0) waits at barrier 0 (31 of 32 came)"),
            std::string::npos)
      << error;
}

TEST(SimtTest, DivergentWarpsAreReported) {
  const std::string error = error_of([] {
    simt::launch({1}, {32}, 0, [] {
      if (threadIdx.x % 2 == 0) {
        __shfl_xor_sync(0xFFFFFFFFu, 1, 1);
      } else {
        __ballot_sync(0xFFFFFFFFu, true);
      }
    });
  });
  EXPECT_NE(error.find("while its warp gathers for"), std::string::npos) << error;
}

TEST(SimtTest, ImpossibleLaunchesAreReported) {
  EXPECT_NE(error_of([] { simt::launch({1}, {1025}, 0, [] {}); }), "no error");
  EXPECT_NE(error_of([] { simt::launch({1}, {32}, 228 * 1024, [] {}); }), "no error");
  EXPECT_NE(error_of([] { simt::launch({0}, {32}, 0, [] {}); }), "no error");
}

TEST(SimtTest, ExceptionsOfTheBodyReachTheCaller) {
  EXPECT_THROW(simt::launch({2}, {64}, 0,
                            [] {
                              __syncthreads();
                              if (threadIdx.x == 40) throw std::runtime_error("found");
                              __syncthreads();
                            }),
               std::runtime_error);
  simt::launch({2}, {64}, 0, [] { __syncthreads(); });
}

// ---- Timing: planted bugs that show only where copies complete early, blocks overlap or threads take finer turns.

class SimtTiming : public testing::Test {
 protected:
  ~SimtTiming() override { simt::set_timing(simt::Timing::late); }
};

// Sums a quarter of the first of two tiles that pass through one buffer. Unless `barrier_first`, the copy of the second
// tile is issued before the barrier that ends the reading of the first.
int sum_of_tiles(bool barrier_first) {
  alignas(16) int tiles[2][128];
  for (int i = 0; i < 128; ++i) {
    tiles[0][i] = 1;
    tiles[1][i] = 1000;
  }
  int sum = 0;
  simt::launch({1}, {32}, sizeof tiles[0], [&] {
    auto* buffer = reinterpret_cast<int*>(simt::shared_memory());
    const unsigned own = 4 * threadIdx.x;
    const auto fetch = [&](int tile) {
      simt::async_copy(buffer + own, tiles[tile] + own, 16);
      simt::async_commit();
    };
    fetch(0);
    simt::async_wait(0);
    __syncthreads();
    if (!barrier_first) fetch(1);
    sum += buffer[(own + 64) % 128];  // of another thread
    __syncthreads();
    if (barrier_first) fetch(1);
    simt::async_wait(0);
    __syncthreads();
  });
  return sum;
}

TEST_F(SimtTiming, ACopyThatIsIssuedTooEarlyShows) {
  for (const simt::Timing timing : {simt::Timing::late, simt::Timing::early, simt::Timing::interleaved}) {
    simt::set_timing(timing);
    EXPECT_EQ(sum_of_tiles(true), 32);
  }
#ifdef __clang__  // which traces accesses
  for (const simt::Timing timing : {simt::Timing::late, simt::Timing::early}) {
    simt::set_timing(timing);
    EXPECT_NE(error_of([] { sum_of_tiles(false); }).find("race"), std::string::npos);
  }
#else
  simt::set_timing(simt::Timing::late);
  EXPECT_EQ(sum_of_tiles(false), 32) << "a late copy hides the bug";
  simt::set_timing(simt::Timing::early);
  EXPECT_NE(sum_of_tiles(false), 32);
#endif
}

TEST_F(SimtTiming, BlocksThatDependOnEachOtherShow) {
  const auto count = [] {
    int counter = 0;
    simt::launch({20}, {32}, 0, [&] {
      const int before = counter;
      __syncthreads();
      if (threadIdx.x == 0) counter = before + 1;
    });
    return counter;
  };
  EXPECT_EQ(count(), 20) << "hidden while blocks run one after another";
  simt::set_timing(simt::Timing::interleaved);
  EXPECT_LT(count(), 20);
}

#ifdef __clang__  // which traces accesses
// `access` runs in each of `threads` threads with its number and 64 ints of shared memory.
std::string race_in(unsigned threads, const std::function<void(unsigned, int*)>& access) {
  return error_of([&] {
    simt::launch({1}, {threads}, 64 * sizeof(int),
                 [&] { access(threadIdx.x, reinterpret_cast<int*>(simt::shared_memory())); });
  });
}

TEST(SimtRaces, NothingOrdersTwoWarpsButABarrier) {
  int sum = 0;
  const auto pass_on = [&](void (*order)()) {
    return race_in(64, [&, order](unsigned i, int* shared) {
      shared[i] = 1;
      order();
      sum += shared[63 - i];
    });
  };
  EXPECT_EQ(pass_on([] { __syncthreads(); }), "no error");
  EXPECT_NE(pass_on([] {}).find("race: thread "), std::string::npos);
  EXPECT_NE(pass_on([] { __syncwarp(); }).find(" of shared memory, which thread "), std::string::npos);
}

TEST(SimtRaces, WithinAWarpSyncwarpOrdersAndShufflesDoNot) {
  int sum = 0;
  const auto pass_on = [&](void (*order)()) {
    return race_in(32, [&, order](unsigned i, int* shared) {
      shared[i] = 1;
      order();
      sum += shared[31 - i];
    });
  };
  EXPECT_EQ(pass_on([] { __syncwarp(); }), "no error");
  EXPECT_NE(pass_on([] { __shfl_xor_sync(0xFFFFFFFFu, 1, 1); }).find("race"), std::string::npos);
}

TEST(SimtRaces, AWriteAfterAReadIsARace) {
  int sum = 0;
  EXPECT_NE(race_in(64,
                    [&](unsigned i, int* shared) {
                      if (i < 32) shared[i] = 1;
                      __syncthreads();
                      if (i >= 32) sum += shared[i - 32];
                      if (i < 32) shared[i] = 2;
                    })
                .find("race"),
            std::string::npos);
}

// A read by another warp still counts after a thread of the writer's own warp has read.
TEST(SimtRaces, EveryWarpsReadCounts) {
  int sum = 0;
  for (uint64_t seed = 0; seed < 10; ++seed) {  // in whatever order they run
    simt::set_seed(seed);
    const std::string race = race_in(64, [&](unsigned i, int* shared) {
      if (i == 0) shared[0] = 1;
      __syncthreads();
      if (i == 32 || i == 1) sum += shared[0];
      __syncwarp();
      if (i == 0) shared[0] = 2;
    });
    EXPECT_NE(race.find("race"), std::string::npos) << seed;
  }
}

TEST(SimtRaces, AtomicsDoNotRaceWithEachOther) {
  const auto count = [](bool first_plain) {
    return race_in(64, [=](unsigned i, int* shared) {
      if (i == 0) shared[0] = 0;
      __syncthreads();
      if (i == 5 && first_plain)
        ++shared[0];
      else
        atomicAdd(shared, 1);
    });
  };
  EXPECT_EQ(count(false), "no error");
  EXPECT_NE(count(true).find("race"), std::string::npos);
}

TEST(SimtRaces, ACopyUnderWayMayNotBeRead) {
  alignas(16) const int from[4] = {1, 2, 3, 4};
  int sum = 0;
  const auto read = [&](bool wait) {
    return race_in(1, [&, wait](unsigned, int* shared) {
      simt::async_copy(shared, from, 16);
      simt::async_commit();
      if (wait) simt::async_wait(0);
      sum += shared[0];
    });
  };
  EXPECT_EQ(read(true), "no error");
  EXPECT_NE(read(false).find("is copying to"), std::string::npos);
}
#endif

#ifdef GPTMOE_ASAN
TEST(SimtDeathTest, OverrunningSharedMemoryIsFound) {
  EXPECT_DEATH(simt::launch({1}, {1}, 100, [] { simt::shared_memory()[100] = std::byte{1}; }), "heap-buffer-overflow");
}
#endif

}  // namespace
