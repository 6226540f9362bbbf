// Rows that a warp gathers by cp.async for wgmma, and the bugs planted in it: Filler (kernels/cuda/hopper/ring.cuh) in
// small.
#include <gtest/gtest.h>

#include <vector>

#include "hopper_block.h"
#include "kernels/cuda/hopper/operand_rows.cuh"

namespace gptmoe::cuda::hopper {
namespace {

enum class GatherBug { none, no_fence, no_wait, too_many_under_way };

constexpr int kStages = 4, kRows = 64, kWidth = kBoxWidth;

struct GatherShared {
  alignas(1024) bf16 tiles[kStages][kRows * kWidth];
  Ring<kStages> ring;
};

int source_row(int row) { return 5 * row % 11; }

// d (64 x 64) = the sum over steps of T T^T, where T is rows 64 step to 64 step + 63 of what source_row() selects of x
// (11 x 64). Four warps multiply, and the fifth gathers.
template <GatherBug kBug>
void gather_kernel(const bf16* x, float* d, int steps) {
  auto& shared = *shared_memory<GatherShared>();
  if (threadIdx.x == 0) shared.ring.init(1, kWarpgroup / kWarp);
  __syncthreads();
  Walk walk(shared.ring);
  if (warp_index() == 4) {
    constexpr int kMost = kBug == GatherBug::too_many_under_way ? 3 : 2;
    Walk behind(shared.ring);
    int under_way = 0;
    const auto announce = [&] {
      if (kBug != GatherBug::no_fence) fence_async_proxy();
      __syncwarp();
      if (lane_index() == 0) mbarrier_arrive(behind.full());
      behind.next();
      --under_way;
    };
    for (int step = 0; step < steps; ++step, walk.next()) {
      walk.wait_empty();
      for (int i = lane_index(); i < kRows * kLineChunks; i += kWarp) {
        const int row = i / kLineChunks, chunk = i % kLineChunks;
        cp_async_16(shared.tiles[walk.stage()] + place_in_box(row, chunk),
                    x + source_row(step * kRows + row) * kWidth + chunk * kChunk);
      }
      cp_async_commit();
      if (++under_way <= kMost) continue;
      if (kBug != GatherBug::no_wait) cp_async_wait<kMost>();
      announce();
    }
    cp_async_wait<0>();
    while (under_way > 0) announce();
    return;
  }
  float sums[32];
  for (int step = 0; step < steps; ++step, walk.next()) {
    walk.wait_full();
    wgmma_fence();
    for (int k = 0; k < kWidth; k += 16) {
      const uint64_t rows =
          matrix_descriptor(shared.tiles[walk.stage()] + k, 0, 8 * kWidth * sizeof(bf16), SharedSwizzle::bytes_128);
      wgmma<64, Major::k, Major::k>(sums, rows, rows, step > 0 || k > 0);
    }
    wgmma_commit();
    if (step == 0) continue;
    wgmma_wait<1>();
    walk.release_previous();
  }
  wgmma_wait<0>();
  for (int i = 0; i < 32; ++i)
    d[(warp_index() * 16 + lane_index() / 4 + i / 2 % 2 * 8) * kRows + i / 4 * 8 + lane_index() % 4 * 2 + i % 2] =
        sums[i];
}

constexpr int kSteps = 7;

float value(int row, int column) { return static_cast<float>((row * 3 + column * 7) % 9 - 4); }

template <GatherBug kBug>
std::vector<float> gather() {
  std::vector<__uint128_t> memory(11 * kWidth / 8);
  auto* x = reinterpret_cast<bf16*>(memory.data());
  for (int i = 0; i < 11 * kWidth; ++i) x[i] = __float2bfloat16(value(i / kWidth, i % kWidth));
  std::vector<float> d(kRows * kRows);
  simt::launch({1}, {160}, sizeof(GatherShared), [&] { gather_kernel<kBug>(x, d.data(), kSteps); });
  return d;
}

class HopperGather : public testing::Test {
 protected:
  ~HopperGather() override { simt::set_timing(simt::Timing::late); }
};

TEST_F(HopperGather, RightInEveryOrder) {
  for (const simt::Timing timing : {simt::Timing::late, simt::Timing::early, simt::Timing::interleaved}) {
    simt::set_timing(timing);
    const std::vector<float> d = gather<GatherBug::none>();
    for (int i = 0; i < kRows * kRows; ++i) {
      float sum = 0;
      for (int step = 0; step < kSteps; ++step)
        for (int column = 0; column < kWidth; ++column)
          sum +=
              value(source_row(step * kRows + i / kRows), column) * value(source_row(step * kRows + i % kRows), column);
      ASSERT_EQ(d[static_cast<size_t>(i)], sum) << static_cast<int>(timing) << ": " << i;
    }
  }
}

template <GatherBug kBug>
void expect_fault(const std::string& fault, std::initializer_list<simt::Timing> timings) {
  for (const simt::Timing timing : timings) {
    simt::set_timing(timing);
    const std::string found = hopper_fault([] { gather<kBug>(); });
    EXPECT_NE(found.find(fault), std::string::npos) << static_cast<int>(timing) << ": " << found;
  }
}

TEST_F(HopperGather, AMissingProxyFenceIsFound) {
  expect_fault<GatherBug::no_fence>("which threads wrote without fence.proxy.async",
                                    {simt::Timing::late, simt::Timing::early, simt::Timing::interleaved});
}
TEST_F(HopperGather, AStageAnnouncedBeforeItsCopiesAreCompleteIsFound) {
  expect_fault<GatherBug::no_wait>("is copying to, and nothing orders the two",
                                   {simt::Timing::late, simt::Timing::early, simt::Timing::interleaved});
}
TEST_F(HopperGather, TooManyStagesUnderWayAreADeadlock) {
  expect_fault<GatherBug::too_many_under_way>("deadlock",
                                              {simt::Timing::late, simt::Timing::early, simt::Timing::interleaved});
}

}  // namespace
}  // namespace gptmoe::cuda::hopper
