#include "predict/network.h"

#include <gtest/gtest.h>

namespace gptmoe {
namespace {

constexpr int64_t kBytes = 800'000'000;

double seconds(const Network& network, Collective collective, int64_t bytes = kBytes) {
  return collective_time(network, collective, bytes).seconds;
}

TEST(CollectiveTimes, OneRankSendsNothing) {
  EXPECT_EQ(seconds({.ranks = 1, .link_bytes = 1e9}, Collective::all_reduce), 0);
}

TEST(CollectiveTimes, ARingOfOneMachineSendsAllPartsButOne) {
  const Network network{.ranks = 8, .machines = 1, .link_bytes = 100e9};
  // 7/8 of the bytes at 100 GB/s; a start and seven hops.
  EXPECT_NEAR(seconds(network, Collective::reduce_scatter), 7e-3 + 8.4e-6 + 7 * 3.4e-6, 1e-9);
  EXPECT_NEAR(seconds(network, Collective::all_gather), seconds(network, Collective::reduce_scatter), 1e-12);
  EXPECT_NEAR(seconds(network, Collective::all_reduce), 14e-3 + 8.4e-6 + 14 * 3.4e-6, 1e-9);
}

TEST(CollectiveTimes, SmallTensorsTakeTheProtocolWithShortHops) {
  const Network network{.ranks = 8, .machines = 1, .link_bytes = 100e9};
  EXPECT_NEAR(seconds(network, Collective::all_gather, 8), 6.6e-6 + 7 * 0.6e-6, 1e-9);
}

TEST(CollectiveTimes, TheSlowerOfLinksAndCardsLimitsAMachine) {
  Network network{.ranks = 16, .machines = 2, .link_bytes = 400e9, .machine_bytes = 100e9};
  const double cards = seconds(network, Collective::all_gather);
  EXPECT_NEAR(cards, 15.0 / 16 * kBytes / 100e9 + 8.4e-6 + 14 * 3.4e-6 + 14e-6, 1e-9);
  network.machine_bytes = 800e9;
  EXPECT_NEAR(seconds(network, Collective::all_gather), cards - 15.0 / 16 * kBytes * (1 / 100e9 - 1 / 400e9), 1e-9);
}

TEST(CollectiveTimes, ManyMachinesSumFewBytesInATree) {
  const auto network = [](int machines) {
    return Network{.ranks = 8 * machines, .machines = machines, .link_bytes = 370e9, .machine_bytes = 370e9};
  };
  const CollectiveTime few = collective_time(network(64), Collective::all_reduce, 1024);
  EXPECT_STREQ(few.algorithm, "tree");
  // From 64 to 128 machines, a tree gets one level deeper in both directions.
  EXPECT_NEAR(collective_time(network(128), Collective::all_reduce, 1024).seconds - few.seconds, 2 * 5e-6, 1e-6);
  EXPECT_STREQ(collective_time(network(2), Collective::all_reduce, int64_t{1} << 33).algorithm, "ring");
  // There is no tree for other collectives: hops grow with the ranks.
  EXPECT_GT(seconds(network(128), Collective::all_gather, 1024),
            1.9 * seconds(network(64), Collective::all_gather, 1024));
}

// Expected times are computed from NCCL's constants. On eight GPUs per machine, LL128 is the fastest protocol for
// tensors of this size; LL would reach only 20 GB/s.
TEST(CollectiveTimes, LargeTensorsOfManyRanksTakeLl128) {
  const auto microseconds = [](int ranks, Collective collective, int64_t bytes) {
    const Network network{.ranks = ranks, .machines = ranks / 8, .link_bytes = 370e9, .machine_bytes = 8 * 47e9};
    return 1e6 * seconds(network, collective, bytes);
  };
  EXPECT_NEAR(microseconds(64, Collective::reduce_scatter, 302'000'000), 1021, 5);
  EXPECT_NEAR(microseconds(256, Collective::reduce_scatter, 302'000'000), 1450, 5);
  EXPECT_NEAR(microseconds(1024, Collective::reduce_scatter, 302'000'000), 3111, 5);
  EXPECT_NEAR(microseconds(256, Collective::all_gather, 151'000'000), 1007, 5);
  EXPECT_NEAR(microseconds(1024, Collective::all_gather, 151'000'000), 2668, 5);
}

TEST(CollectiveTimes, AGivenLatencyReplacesTheHops) {
  const Network network{.ranks = 8, .machines = 1, .link_bytes = 100e9, .machine_bytes = 100e9, .latency = 50e-6};
  EXPECT_NEAR(seconds(network, Collective::all_gather), 7e-3 + 50e-6, 1e-9);
}

}  // namespace
}  // namespace gptmoe
