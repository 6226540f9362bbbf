// Races in shared memory on the simulated Hopper: what mbarriers and named barriers order, and that products and bulk
// copies are found among the racing accesses.
#include <gtest/gtest.h>

#include <vector>

#include "hopper_block.h"
#include "kernels/cuda/hopper/bulk_copy.cuh"
#include "kernels/cuda/hopper/warp_roles.cuh"
#include "kernels/cuda/hopper/wgmma.cuh"

#ifdef __clang__  // which traces accesses
namespace gptmoe::cuda {
namespace {

class HopperRaces : public HopperTiming {};
INSTANTIATE_TEST_SUITE_P(Timings, HopperRaces, kHopperTimings);

// Orders threads in time, and nothing else: the simulator knows no such synchronisation.
class Turn {
 public:
  void next() { ++at_; }
  void wait_for(int turn) {
    Wait wait{this, turn};
    while (at_ < turn)
      simt::wait_until([](void* context) { return static_cast<Wait*>(context)->reached(); },
                       [](void*) { return std::string("for its turn"); }, &wait);
  }

 private:
  struct Wait {
    Turn* self;
    int turn;
    bool reached() const { return self->at_ >= turn; }
  };
  int at_ = 0;
};

// Tests read as `int{shared[0]}`, so that the traced read is in this file and not in GoogleTest's comparison.
void expect_race(const std::string& found, const std::string& second = "") {
  EXPECT_NE(found.find("race: "), std::string::npos) << found;
  EXPECT_NE(found.find(second), std::string::npos) << found;
}

// 128 threads write an operand, by elements or by packs, and fence. Then they multiply.
std::string product(bool synchronise, bool packs) {
  Turn turn;
  return hopper_fault(128, 2048, [&](char* shared) {
    char* const own = shared + threadIdx.x * 16;
    if (packs)
      Pack<char, 16>{}.store(own);
    else
      for (int i = 0; i < 16; ++i) own[i] = 0;
    fence_async_proxy();
    turn.next();
    turn.wait_for(128);
    if (synchronise) __syncthreads();
    const uint64_t operand = matrix_descriptor(shared, 128, 256, SharedSwizzle::none);
    float d[32];
    wgmma_fence();
    wgmma<64, Major::k, Major::k>(d, operand, operand, false);
    wgmma_commit();
    wgmma_wait<0>();
  });
}

TEST_P(HopperRaces, AProductOfWhatOtherWarpsWroteNeedsABarrier) {
  for (const bool packs : {false, true}) {
    EXPECT_EQ(product(true, packs), "nothing");
    expect_race(product(false, packs), " reads byte ");
  }
}

// 64 threads write a box and fence. Then thread 0 stores it.
std::string store(bool synchronise) {
  std::vector<__uint128_t> tensor(64);
  const CUtensorMap map = hopper_map(tensor.data(), 8, 64, 16, 8, 64, CU_TENSOR_MAP_SWIZZLE_NONE);
  Turn turn;
  return hopper_fault(64, 1024, [&](char* shared) {
    for (int i = 0; i < 16; ++i) shared[threadIdx.x * 16 + i] = 0;
    fence_async_proxy();
    turn.next();
    turn.wait_for(64);
    if (synchronise) __syncthreads();
    if (threadIdx.x != 0) return;
    tensor_store(map, 0, 0, shared);
    bulk_commit();
    bulk_wait_read<0>();
  });
}

TEST_P(HopperRaces, AStoreOfWhatOtherThreadsWroteNeedsABarrier) {
  EXPECT_EQ(store(true), "nothing");
  expect_race(store(false), "thread 0 reads byte ");
}

// A block of 96 threads, of which the first of each warp runs `body` with two mbarriers that expect `arrivals`.
std::string with_barriers(uint32_t arrivals, const std::function<void(int warp, int* shared, Mbarrier*)>& body) {
  return hopper_fault(96, 1024, [&](char* shared) {
    auto* barriers = reinterpret_cast<Mbarrier*>(shared + 512);
    if (threadIdx.x == 0) {
      mbarrier_init(barriers, arrivals);
      mbarrier_init(barriers + 1, arrivals);
      fence_async_proxy();
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) body(static_cast<int>(threadIdx.x / 32), reinterpret_cast<int*>(shared), barriers);
  });
}

// Warp 0 waits until warp 1 has arrived, and reads what warps 1 and 2 wrote. Does warp 2 arrive?
std::string read_after_arrivals(bool both) {
  Turn turn;
  return with_barriers(both ? 2 : 1, [&](int warp, int* shared, Mbarrier* barrier) {
    if (warp > 0) {
      shared[warp] = 1;
      if (warp == 1 || both) mbarrier_arrive(barrier);
      turn.next();
      return;
    }
    turn.wait_for(2);
    mbarrier_wait(barrier, 0);
    EXPECT_EQ(shared[1] + shared[2], 2);
  });
}

TEST_P(HopperRaces, AnMbarrierOrdersThoseWhoArrivedAndNoOthers) {
  EXPECT_EQ(read_after_arrivals(true), "nothing");
  expect_race(read_after_arrivals(false), "which thread 64 wrote");
}

// Warp 1 arrives and then writes again. Warp 0 waits, and reads the same place.
TEST_P(HopperRaces, AnMbarrierDoesNotOrderWhatFollowsTheArrival) {
  Turn turn;
  expect_race(with_barriers(1,
                            [&](int warp, int* shared, Mbarrier* barrier) {
                              if (warp == 1) {
                                mbarrier_arrive(barrier);
                                shared[0] = 1;
                                turn.next();
                              } else if (warp == 0) {
                                turn.wait_for(1);
                                mbarrier_wait(barrier, 0);
                                EXPECT_EQ(int{shared[0]}, 1);
                              }
                            }),
              "which thread 32 wrote");
}

// A ring of one stage: warp 0 writes it twice, and warp 1 reads it. Does warp 0 wait until it is empty?
std::string reuse(bool wait) {
  Turn turn;
  return with_barriers(1, [&](int warp, int* shared, Mbarrier* barriers) {
    Mbarrier *const full = barriers, *const empty = barriers + 1;
    if (warp == 0) {
      shared[0] = 1;
      mbarrier_arrive(full);
      turn.wait_for(1);
      if (wait) mbarrier_wait(empty, 0);
      shared[0] = 2;
    } else if (warp == 1) {
      mbarrier_wait(full, 0);
      EXPECT_EQ(int{shared[0]}, 1);
      mbarrier_arrive(empty);
      turn.next();
    }
  });
}

TEST_P(HopperRaces, AStageIsFreeForThoseWhoWaited) {
  EXPECT_EQ(reuse(true), "nothing");
  expect_race(reuse(false), "read, and nothing");
}

// Lane 0 of warp 1 waits for warp 0, and lane 1 reads. Is there a __syncwarp between?
std::string pass_on(bool synchronise) {
  Turn turn;
  return hopper_fault(64, 1024, [&](char* shared) {
    auto* barrier = reinterpret_cast<Mbarrier*>(shared + 512);
    if (threadIdx.x == 0) mbarrier_init(barrier, 1);
    __syncthreads();
    if (threadIdx.x == 0) {
      shared[0] = 1;
      mbarrier_arrive(barrier);
    }
    if (threadIdx.x == 32) {
      mbarrier_wait(barrier, 0);
      turn.next();
    }
    turn.wait_for(1);
    if (synchronise) __syncwarp();
    if (threadIdx.x == 33) EXPECT_EQ(int{shared[0]}, 1);
  });
}

TEST_P(HopperRaces, AWarpPassesOnWhatOneLaneWaitedFor) {
  EXPECT_EQ(pass_on(true), "nothing");
  expect_race(pass_on(false), "thread 33 reads byte 0");
}

// Lane 1 writes, and lane 0 arrives. Is there a __syncwarp between?
std::string arrive_for_a_lane(bool synchronise) {
  Turn turn;
  return hopper_fault(64, 1024, [&](char* shared) {
    auto* barrier = reinterpret_cast<Mbarrier*>(shared + 512);
    if (threadIdx.x == 0) mbarrier_init(barrier, 1);
    __syncthreads();
    if (threadIdx.x == 1) {
      shared[0] = 1;
      turn.next();
    }
    turn.wait_for(1);
    if (synchronise) __syncwarp();
    if (threadIdx.x == 0) mbarrier_arrive(barrier);
    if (threadIdx.x != 32) return;
    mbarrier_wait(barrier, 0);
    EXPECT_EQ(int{shared[0]}, 1);
  });
}

TEST_P(HopperRaces, ALaneArrivesForItsWarpAfterASync) {
  EXPECT_EQ(arrive_for_a_lane(true), "nothing");
  expect_race(arrive_for_a_lane(false), "which thread 1 wrote");
}

// Warp 0 starts a bulk copy, and warp 1 reads it once it is complete.
std::string read_of_copy(bool wait) {
  alignas(16) static const int from[4] = {1, 1, 1, 1};
  Turn turn;
  return with_barriers(1, [&](int warp, int* shared, Mbarrier* barrier) {
    if (warp == 0) {
      mbarrier_arrive_expect(barrier, 16);
      bulk_load(shared, from, 16, barrier);
      mbarrier_wait(barrier, 0);
      turn.next();
    } else if (warp == 1) {
      turn.wait_for(1);
      if (wait) mbarrier_wait(barrier, 0);
      EXPECT_EQ(int{shared[0]}, 1);
    }
  });
}

TEST_P(HopperRaces, ABulkCopyIsVisibleToThoseWhoWaited) {
  EXPECT_EQ(read_of_copy(true), "nothing");
  expect_race(read_of_copy(false), "which a bulk copy wrote");
}

// Two warps meet at a named barrier. Then warp 0 reads what warp `writer` wrote before.
std::string read_after_named_barrier(int writer) {
  Turn turn;
  return hopper_fault(96, 1024, [&](char* shared) {
    const int warp = static_cast<int>(threadIdx.x / 32);
    if (static_cast<int>(threadIdx.x) == writer * 32) {
      shared[0] = 1;
      turn.next();
    }
    turn.wait_for(1);
    if (warp < 2) named_barrier(1, 64);
    if (threadIdx.x == 0) EXPECT_EQ(int{shared[0]}, 1);
  });
}

TEST_P(HopperRaces, ANamedBarrierOrdersThoseWhoCame) {
  EXPECT_EQ(read_after_named_barrier(1), "nothing");
  expect_race(read_after_named_barrier(2), "which thread 64 wrote");
}

}  // namespace
}  // namespace gptmoe::cuda
#endif
