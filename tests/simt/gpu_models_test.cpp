// Planted bugs that show on one of the simulated GPUs only, only at some addresses, or only where functions err.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/cuda/instructions.cuh"
#include "simt/simulated_device.h"
#include "support/error_message.h"

namespace gptmoe::cuda {
namespace {

class GpuModels : public ::testing::Test {
 protected:
  ~GpuModels() override { simt::simulated_device = {}; }
};

// One block per multiprocessor writes a partial sum, and a single warp adds them. Its lanes are too few for 132 sums.
float sum_in_two_stages(const std::vector<float>& x) {
  int blocks = 0;
  cudaDeviceGetAttribute(&blocks, cudaDevAttrMultiProcessorCount, 0);
  std::vector<float> partials(static_cast<size_t>(blocks));
  float sum = 0;
  simt::launch({static_cast<unsigned>(blocks)}, {32}, 0, [&] {
    float own = 0;
    for (size_t i = blockIdx.x * 32 + threadIdx.x; i < x.size(); i += gridDim.x * 32) own += x[i];
    own = warp_sum(own);
    if (threadIdx.x == 0) partials[blockIdx.x] = own;
  });
  simt::launch({1}, {32}, 0, [&] {
    const float all = warp_sum(threadIdx.x < partials.size() ? partials[threadIdx.x] : 0.0f);
    if (threadIdx.x == 0) sum = all;
  });
  return sum;
}

TEST_F(GpuModels, TooFewPartialsAreAddedForManyMultiprocessors) {
  const std::vector<float> ones(10000, 1);
  simt::simulated_device = simt::small_a100();
  EXPECT_EQ(sum_in_two_stages(ones), 10000);
  simt::simulated_device = simt::h100();
  EXPECT_LT(sum_in_two_stages(ones), 10000);
}

// 1 + `count` products of 2^exponent by one mma instruction, minus 1, in units of 2^-23.
float excess(int count, int exponent) {
  float result = 0;
  simt::launch({1}, {32}, 0, [&] {
    const int lane = static_cast<int>(threadIdx.x), t = lane % 4;
    const auto element = [&](int k) { return k < count ? std::exp2(static_cast<float>(exponent)) : 0.0f; };
    const Bf16x2 low = pack_bf16(element(2 * t), element(2 * t + 1)),
                 high = pack_bf16(element(2 * t + 8), element(2 * t + 9)), ones = pack_bf16(1, 1);
    const uint32_t a[4] = {low, low, high, high}, b[2] = {ones, ones};
    float d[4] = {1, 1, 1, 1};
    mma_bf16(d, a, b);
    if (lane == 0) result = d[0];
  });
  return (result - 1) * 0x1p23f;
}

// A float has 23 bits after the first one. The tensor cores of the A100 add with 24, those of the H100 with 25, and
// neither rounds up.
TEST_F(GpuModels, TensorCoresCutOffSmallTerms) {
  struct Expected {
    int count, exponent;
    float a100, h100;
  };
  for (const auto& [count, exponent, a100, h100] : {Expected{1, -23, 1, 1},   //
                                                    Expected{3, -24, 1, 1},   // 1.5
                                                    Expected{9, -24, 4, 4},   // 8 and 1; 4.5
                                                    Expected{16, -25, 0, 4},  //
                                                    Expected{7, -25, 0, 1},   // 1.75
                                                    Expected{16, -26, 0, 0}}) {
    simt::simulated_device = simt::small_a100();
    EXPECT_EQ(excess(count, exponent), a100) << count << " times 2^" << exponent;
    simt::simulated_device = simt::h100();
    EXPECT_EQ(excess(count, exponent), h100) << count << " times 2^" << exponent;
  }
}

TEST_F(GpuModels, TensorCoresKeepExceptionalNumbers) {
  for (const auto& device : {simt::small_a100(), simt::h100()}) {
    simt::simulated_device = device;
    EXPECT_TRUE(std::isnan(excess(16, 128)) || std::isinf(excess(16, 128)));
    EXPECT_EQ(excess(16, 100), std::exp2(104.0f) * 0x1p23f);
  }
}

// The bug: a bucket of x / unit by multiplication, which is one too low if the product is a little below the number.
int bucket(float x, float unit) { return static_cast<int>(x * reciprocal_approximate(unit)); }

TEST_F(GpuModels, ApproximateFunctionsErrAsTheManualAllows) {
  constexpr float kUlp = 0x1p-23f;  // relative to numbers just above a power of two
  int wrong = 0;
  float worst_exp2 = 0, worst_reciprocal = 0;
  for (int i = 1; i <= 1000; ++i) {
    const auto x = static_cast<float>(i);
    wrong += bucket(x, x) != 1;
    worst_exp2 = std::max(worst_exp2, std::abs(exp2_approximate(x / 100) / std::exp2(x / 100) - 1));
    worst_reciprocal = std::max(worst_reciprocal, std::abs(reciprocal_approximate(x) * x - 1));
  }
  EXPECT_GT(wrong, 100);
  EXPECT_TRUE(worst_exp2 > kUlp && worst_exp2 < 2.5f * kUlp) << worst_exp2;
  EXPECT_TRUE(worst_reciprocal > kUlp / 2 && worst_reciprocal < 2 * kUlp) << worst_reciprocal;
  constexpr float kInfinity = std::numeric_limits<float>::infinity(), kSubnormal = 1e-40f;
  EXPECT_EQ(exp2_approximate(0), 1);
  EXPECT_EQ(exp2_approximate(-kInfinity), 0);
  EXPECT_EQ(exp2_approximate(-130), 0);
  EXPECT_EQ(reciprocal_approximate(kInfinity), 0);
  EXPECT_EQ(reciprocal_approximate(kSubnormal), kInfinity);
}

// A kernel that sums packs of four whatever their address, and one that asks with_pack().
float sum_of_eight(const float* x, bool asks) {
  float sum = 0;
  const auto add = [&]<int N>(std::integral_constant<int, N>) {
    simt::launch({1}, {1}, 0, [&] {
      for (int i = 0; i < 8; i += N) {
        const auto pack = Pack<float, N>::load(x + i);
        for (int j = 0; j < N; ++j) sum += pack[j];
      }
    });
  };
  if (asks)
    with_pack<float>(8, add, x);
  else
    add(std::integral_constant<int, 4>{});
  return sum;
}

TEST_F(GpuModels, MisalignedPacksShow) {
  alignas(16) float x[9];
  std::iota(x, x + 9, 1.0f);
  for (const bool asks : {false, true}) EXPECT_EQ(sum_of_eight(x, asks), 36);
  EXPECT_EQ(sum_of_eight(x + 1, true), 44);
  EXPECT_NE(message<BugError>([&] { sum_of_eight(x + 1, false); }).find("misaligned access to 16 bytes"),
            std::string::npos);
}

TEST_F(GpuModels, MisalignedCopiesShow) {
  alignas(16) const float x[8] = {};
  const auto copy = [&](size_t to, int from) {
    simt::launch({1}, {1}, 32, [&] {
      cp_async_16(simt::shared_memory() + to, x + from);
      cp_async_commit();
      cp_async_wait<0>();
    });
  };
  copy(16, 4);
  EXPECT_THROW(copy(8, 4), BugError);
  EXPECT_THROW(copy(16, 1), BugError);
}

}  // namespace
}  // namespace gptmoe::cuda
