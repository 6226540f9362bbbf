// A whole kernel on the simulated Hopper: right at odd sizes in every order of events, and the bugs planted in it
// found.
#include "hopper_product.cuh"

#include <gtest/gtest.h>

#include <vector>

#include "hopper_block.h"

namespace gptmoe::cuda {
namespace {

class HopperProduct : public testing::Test {
 protected:
  ~HopperProduct() override {
    simt::set_timing(simt::Timing::late);
    simt::set_seed(1);
  }
};

// Tensors with rows of a multiple of 8 elements, as tensor maps need.
struct Problem {
  int m, n, k, row = (k + 7) / 8 * 8;
  std::vector<__uint128_t> a = filled(m, 3), b = filled(n, 5);
  std::vector<float> d = std::vector<float>(static_cast<size_t>(m * n), -1);

  static int value(int i, int j, int factor) { return (i * factor + j * 7) % 9 - 4; }
  std::vector<__uint128_t> filled(int rows, int factor) const {
    std::vector<__uint128_t> tensor(static_cast<size_t>(rows * row / 8));
    auto* to = reinterpret_cast<bf16*>(tensor.data());
    for (int i = 0; i < rows; ++i)
      for (int j = 0; j < row; ++j)  // elements past the end must not count
        to[i * row + j] = __float2bfloat16(j < k ? static_cast<float>(value(i, j, factor)) : NAN);
    return tensor;
  }

  template <Bug kBug>
  void run() {
    const auto map = [&](std::vector<__uint128_t>& of, int rows) {
      return hopper_map(of.data(), static_cast<uint64_t>(k), static_cast<uint64_t>(rows),
                        static_cast<uint64_t>(row) * 2, kTile, kTile, CU_TENSOR_MAP_SWIZZLE_128B);
    };
    const CUtensorMap a_map = map(a, m), b_map = map(b, n);
    simt::launch({static_cast<unsigned>(ceil_div(n, kTile))}, {160}, sizeof(ProductShared),
                 [&] { hopper_product_kernel<kBug>(a_map, b_map, d.data(), m, n, k); });
  }
  int wrong() {
    int count = 0;
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < n; ++j) {
        int sum = 0;
        for (int l = 0; l < k; ++l) sum += value(i, l, 3) * value(j, l, 5);
        count += !(d[static_cast<size_t>(i * n + j)] == static_cast<float>(sum));
      }
    return count;
  }
};

constexpr simt::Timing kTimings[] = {simt::Timing::late, simt::Timing::early, simt::Timing::interleaved};

TEST_F(HopperProduct, RightInEveryOrderAtOddSizes) {
  for (const simt::Timing timing : kTimings)
    for (const auto& [m, n, k] :
         {std::tuple{64, 64, 64}, std::tuple{1, 1, 1}, std::tuple{37, 70, 129}, std::tuple{63, 65, 330}}) {
      simt::set_timing(timing);
      Problem problem{m, n, k};
      problem.run<Bug::none>();
      EXPECT_EQ(problem.wrong(), 0) << static_cast<int>(timing) << ": " << m << " " << n << " " << k;
    }
}

// The fault that the simulator reports for a bug, in each timing.
template <Bug kBug>
void expect_fault(const std::string& fault, std::initializer_list<simt::Timing> timings = {
                                                simt::Timing::late, simt::Timing::early, simt::Timing::interleaved}) {
  for (const simt::Timing timing : timings) {
    simt::set_timing(timing);
    Problem problem{40, 50, 330};
    const std::string found = hopper_fault([&] { problem.run<kBug>(); });
    EXPECT_NE(found.find(fault), std::string::npos) << static_cast<int>(timing) << ": " << found;
  }
}

TEST_F(HopperProduct, AMissingProxyFenceIsFound) {
  expect_fault<Bug::no_proxy_fence>("mbarrier that was initialised without fence.proxy.async");
}
TEST_F(HopperProduct, AMissingWgmmaFenceIsFound) { expect_fault<Bug::no_wgmma_fence>("without wgmma.fence"); }
TEST_F(HopperProduct, SumsThatWereReadTooEarlyAreFound) {
  expect_fault<Bug::no_final_wait>("the block ended without wgmma.wait_group");
}
TEST_F(HopperProduct, AWrongStrideIsFound) {
  expect_fault<Bug::wrong_stride>("make two parts of an operand one");
  expect_fault<Bug::stride_too_far>("reads byte", {simt::Timing::late, simt::Timing::early});
}
TEST_F(HopperProduct, AReaderThatForgetsTheParityIsFound) { expect_fault<Bug::reader_parity>("phase slip"); }
TEST_F(HopperProduct, AWriterThatForgetsTheParityIsFound) { expect_fault<Bug::writer_parity>("phase slip"); }
TEST_F(HopperProduct, AStageThatIsReusedTooEarlyIsFound) {
  expect_fault<Bug::early_release>("the stage is reused too early");
}
TEST_F(HopperProduct, ACountOfHalfTheBytesIsFound) {
  expect_fault<Bug::half_the_bytes>("which a bulk copy is still writing", {simt::Timing::late});
  expect_fault<Bug::half_the_bytes>("which a bulk copy wrote, and nothing orders the two", {simt::Timing::early});
  expect_fault<Bug::half_the_bytes>("of shared memory, which a bulk copy ", {simt::Timing::interleaved});  // either
}

}  // namespace
}  // namespace gptmoe::cuda
