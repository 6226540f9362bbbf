// The rules of wgmma, warps and their registers on the simulated Hopper: each broken rule is found.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <set>
#include <vector>

#include "hopper_block.h"
#include "kernels/cuda/hopper/bulk_copy.cuh"
#include "kernels/cuda/hopper/warp_roles.cuh"
#include "kernels/cuda/hopper/wgmma.cuh"

namespace gptmoe::cuda {
namespace {

class HopperProductTiming : public HopperTiming {};
INSTANTIATE_TEST_SUITE_P(HopperRules, HopperProductTiming, kHopperTimings);

// ---- wgmma

// A warpgroup multiplies a K-major A of zeros with an MN-major B of 128 columns: two swizzle patterns, 2048 bytes
// apart.
struct Steps {
  bool proxy_fence = true, wait = true;
  uint32_t leading = 2048, stride = 1024;
  std::function<void(char* shared, float (&d)[64])> before_wait = [](char*, float (&)[64]) {};
};
std::string fault_in_product(const Steps& steps) {
  return hopper_fault(128, 2048 + 4096 + 4096, [&](char* shared) {
    std::memset(shared + threadIdx.x * 48, 0, 48);
    if (steps.proxy_fence) fence_async_proxy();
    __syncthreads();
    float d[64];
    wgmma_fence();
    wgmma<128, Major::k, Major::mn>(
        d, matrix_descriptor(shared, 128, 256, SharedSwizzle::none),
        matrix_descriptor(shared + 2048, steps.leading, steps.stride, SharedSwizzle::bytes_128), false);
    wgmma_commit();
    steps.before_wait(shared, d);
    if (steps.wait) wgmma_wait<0>();
  });
}

TEST_P(HopperProductTiming, MisusedProductsAreFound) {
  EXPECT_EQ(fault_in_product({}), "nothing");
  expect_fault(fault_in_product({.proxy_fence = false}), "threads wrote without fence.proxy.async");
  expect_fault(fault_in_product({.wait = false}), "without wgmma.wait_group");
  expect_fault(fault_in_product({.leading = 1024}), "make two parts of an operand one");
  expect_fault(fault_in_product({.leading = 4096}), "which nothing has written");
  expect_fault(fault_in_product({.leading = 8192}), "past the end of shared memory");
  expect_fault(fault_in_product({.stride = 512}), "make two parts of an operand one");
  expect_fault(fault_in_product({.before_wait =
                                     [](char* shared, float(&)[64]) {
                                       __syncthreads();
                                       if (threadIdx.x == 5) shared[2100] = 1;
                                     }}),
               "reused too early");
  expect_fault(fault_in_product({.before_wait = [](char*, float(&d)[64]) { d[63] = 0; }}),
               "the registers of sums changed");
  expect_fault(fault_in_product({.before_wait =
                                     [](char*, float(&)[64]) {
                                       if (threadIdx.x / 32 != 2) wgmma_fence();
                                     }}),
               "came to wgmma");
}

// A warpgroup with 8192 bytes of zeros multiplies by `use`.
std::string fault_in_use(const std::function<void(char* shared, float (&d)[64])>& use) {
  return hopper_fault(128, 8192, [&](char* shared) {
    std::memset(shared + threadIdx.x * 64, 0, 64);
    fence_async_proxy();
    __syncthreads();
    float d[64];
    wgmma_fence();
    use(shared, d);
    wgmma_commit();
    wgmma_wait<0>();
  });
}
// An operand of up to 128 rows among the zeros.
uint64_t zeros(const char* at) { return matrix_descriptor(at, 128, 256, SharedSwizzle::none); }

TEST(HopperProductRules, LanesAndWarpsMustAgree) {
  const auto multiply = [](float(&d)[64], const char* a, const char* b, bool accumulate) {
    wgmma<128, Major::k, Major::k>(d, zeros(a), zeros(b), accumulate);
  };
  EXPECT_EQ(fault_in_use([&](char* shared, float(&d)[64]) { multiply(d, shared, shared, false); }), "nothing");
  expect_fault(fault_in_use([&](char* shared, float(&d)[64]) { multiply(d, shared, shared, threadIdx.x % 32 == 5); }),
               "the lanes of a warp have different operands");
  expect_fault(fault_in_use([&](char* shared, float(&d)[64]) {
                 multiply(d, shared, shared + threadIdx.x / 32 / 3 * 16, false);
               }),
               "another warp of the warpgroup came to wgmma.mma_async with other operands");
  expect_fault(fault_in_use([&](char* shared, float(&d)[64]) { multiply(d, shared, shared, threadIdx.x / 32 == 3); }),
               "with other operands");
  expect_fault(fault_in_use([&](char* shared, float(&d)[64]) {
                 auto& half = reinterpret_cast<float(&)[32]>(d);
                 if (threadIdx.x / 32 == 3)
                   wgmma<64, Major::k, Major::k>(half, zeros(shared), zeros(shared), false);
                 else
                   multiply(d, shared, shared, false);
               }),
               "with other operands");
  expect_fault(fault_in_use([&](char* shared, float(&d)[64]) {
                 multiply(d, shared, shared, false);
                 auto& half = reinterpret_cast<float(&)[32]>(d);
                 wgmma<64, Major::k, Major::k>(half, zeros(shared), zeros(shared), true);
               }),
               "a product of another shape is under way in the same registers");
}

TEST(HopperProductRules, WrongDescriptorsAreFound) {
  const auto multiply = [](const std::function<uint64_t(char*)>& descriptor) {
    return fault_in_use([&](char* shared, float(&d)[64]) {
      wgmma<128, Major::k, Major::k>(d, zeros(shared), descriptor(shared), false);
    });
  };
  const auto with = [&](size_t start, uint32_t leading, uint32_t stride) {
    return multiply(
        [=](char* shared) { return matrix_descriptor(shared + start, leading, stride, SharedSwizzle::none); });
  };
  EXPECT_EQ(with(16, 128, 256), "nothing");
  expect_fault(with(8, 128, 256), "a descriptor cannot hold 1032");
  expect_fault(with(0, 120, 256), "a descriptor cannot hold 120");
  expect_fault(with(0, 128, 1 << 18), "a descriptor cannot hold 262144");
  expect_fault(multiply([](char* shared) { return zeros(shared) | uint64_t{1} << 49; }),
               "a base offset without a swizzle");
  expect_fault(
      multiply([](char* shared) { return matrix_descriptor(shared + 112, 0, 1024, SharedSwizzle::bytes_128); }),
      "crosses the width of its swizzle");
  expect_fault(multiply([](char* shared) { return zeros(shared) - 1024 / 16; }),
               "wgmma reads below the block's shared memory");
}

TEST(HopperProductRules, SumsAreNansUntilTheWait) {
  bool poisoned = true;
  EXPECT_EQ(fault_in_product({.before_wait =
                                  [&](char*, float(&d)[64]) {
                                    poisoned &= std::bit_cast<uint32_t>(d[5]) == simt::kSumPoison && std::isnan(d[5]);
                                  }}),
            "nothing");
  EXPECT_TRUE(poisoned);
}

TEST(HopperProductRules, AInRegistersMustStayUntilTheWait) {
  expect_fault(hopper_fault(128, 4096,
                            [](char* shared) {
                              std::memset(shared + threadIdx.x * 16, 0, 16);
                              fence_async_proxy();
                              __syncthreads();
                              float d[32];
                              uint32_t a[4] = {0, 0, 0, 0};
                              wgmma_fence();
                              wgmma<64, Major::k>(d, a, matrix_descriptor(shared, 128, 256, SharedSwizzle::none),
                                                  false);
                              wgmma_commit();
                              a[1] = 1;
                              wgmma_wait<0>();
                            }),
               "the registers of A changed");
}

TEST(HopperProductRules, AProductWhileItsOperandIsOnTheWayIsFound) {
  alignas(16) static const char from[2048] = {};
  simt::set_timing(simt::Timing::late);
  expect_fault(hopper_fault(128, 4096,
                            [](char* shared) {
                              auto* barrier = reinterpret_cast<Mbarrier*>(shared + 2048);
                              if (threadIdx.x == 0) {
                                mbarrier_init(barrier, 1);
                                fence_async_proxy();
                                mbarrier_arrive_expect(barrier, 2048);
                                bulk_load(shared, from, 2048, barrier);
                              }
                              __syncthreads();
                              const uint64_t operand = matrix_descriptor(shared, 128, 256, SharedSwizzle::none);
                              float d[32];
                              wgmma_fence();
                              wgmma<64, Major::k, Major::k>(d, operand, operand, false);
                            }),
               "which a bulk copy is still writing");
}

// ---- Warps and their roles

TEST(HopperProductRules, OneLaneOfEachWarpIsElected) {
  std::vector<int> elected(64);
  EXPECT_EQ(hopper_fault(64, 16, [&](char*) { elected[threadIdx.x] += elect_one() + elect_one(); }), "nothing");
  for (const size_t first : {0u, 32u}) {
    const std::multiset<int> lanes(elected.begin() + static_cast<int>(first),
                                   elected.begin() + static_cast<int>(first) + 32);
    EXPECT_EQ(lanes.count(2), 1u);
    EXPECT_EQ(lanes.count(0), 31u);
  }
}

TEST(HopperProductRules, NamedBarriersCountWholeWarps) {
  EXPECT_EQ(hopper_fault(96, 16,
                         [](char*) {
                           if (threadIdx.x < 64) named_barrier(3, 64);
                         }),
            "nothing");
  expect_fault(hopper_fault(64, 16, [](char*) { named_barrier(3, 40); }), "bar.sync for 40 threads");
  expect_fault(hopper_fault(64, 16, [](char*) { named_barrier(16, 64); }), "barrier 16 does not exist");
  expect_fault(hopper_fault(64, 16, [](char*) { named_barrier(2, 96); }), "at barrier 2 (64 of 96 came)");
}

// 384 threads begin with 65,536 / 384 registers each, rounded down to 168.
TEST(HopperProductRules, RegistersMoveBetweenWarpgroups) {
  EXPECT_EQ(hopper_fault(384, 16,
                         [](char*) {
                           if (threadIdx.x < 128)
                             give_registers<24>();
                           else
                             take_registers<240>();
                         }),
            "nothing");
  expect_fault(hopper_fault(384, 16,
                            [](char*) {
                              if (threadIdx.x < 128)
                                give_registers<40>();
                              else
                                take_registers<240>();
                            }),
               "waits for registers");
  expect_fault(hopper_fault(128, 16, [](char*) { simt::set_registers(20, false); }), "20 registers");
  expect_fault(hopper_fault(384, 16, [](char*) { give_registers<176>(); }), "setmaxnreg.dec from 168 to 176");
  expect_fault(hopper_fault(384, 16, [](char*) { take_registers<160>(); }), "setmaxnreg.inc from 168 to 160");
  expect_fault(hopper_fault(96, 16, [](char*) { give_registers<24>(); }), "less than four warps");
  expect_fault(hopper_fault(128, 16,
                            [](char*) {
                              if (threadIdx.x < 96) give_registers<24>();
                            }),
               "ended without setmaxnreg.dec");
  expect_fault(hopper_fault(128, 16,
                            [](char*) {
                              if (threadIdx.x >= 32) return;
                              give_registers<80>();
                              give_registers<72>();
                            }),
               "did not synchronise after the last one");
}

}  // namespace
}  // namespace gptmoe::cuda
