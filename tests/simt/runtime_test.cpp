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

#ifdef GPTMOE_ASAN
TEST(SimtDeathTest, OverrunningSharedMemoryIsFound) {
  EXPECT_DEATH(simt::launch({1}, {1}, 100, [] { simt::shared_memory()[100] = std::byte{1}; }), "heap-buffer-overflow");
}
#endif

}  // namespace
