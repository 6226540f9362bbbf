#pragma once
// The fixture of tests at the sizes of configs/paper/8c1_default.json. It checks that sampled outputs agree with sums
// on the host and that a second run gives the same bits. On the simulated GPU, the sizes are small.
#include <algorithm>

#include "cuda/device.h"
#include "cuda/sampled.h"

namespace gptmoe {

struct Sizes {
  int64_t B, T, C, F, V, E, H;  // sequences, tokens of each, widths, logits, experts, heads
};
#ifdef GPTMOE_SIMT
inline constexpr Sizes kSizes{2, 35, 32, 24, 203, 3, 2};
#else
inline constexpr Sizes kSizes{8, 2048, 1024, 2816, 128256, 8, 16};
#endif
inline constexpr auto kC = kSizes.C, kF = kSizes.F, kV = kSizes.V, kE = kSizes.E, kN = kSizes.B * kSizes.T;
// The type of real tensors, and whether ops run Hopper's kernels.
struct RealBackend {
  DType real;
  bool hopper = false;
};
inline std::string backend_name(const ::testing::TestParamInfo<RealBackend>& info) {
  return text(dtype_name(info.param.real), info.param.hopper ? "_hopper" : "");
}

class RealSize : public ::testing::TestWithParam<RealBackend> {
 protected:
  void SetUp() override {
    if (const std::string obstacle = why_no_hopper(); GetParam().hopper && !obstacle.empty()) GTEST_SKIP() << obstacle;
    ops_ = make_cuda_ops(real_, {.hopper = GetParam().hopper});
  }
  ~RealSize() override { reorder_execution(1); }

  using Outputs = std::vector<const DeviceTensor*>;
  // Runs `work` on outputs of zeros, twice, and expects the same bits.
  void run_twice(const Outputs& outputs, const std::function<void()>& work) {
    std::vector<uint64_t> first;
    for (const uint64_t seed : {1, 2}) {
      reorder_execution(seed);
      for (const DeviceTensor* output : outputs) ops_->zero(*output);
      work();
      std::vector<uint64_t> sums;
      for (const DeviceTensor* output : outputs) sums.push_back(checksum(*ops_, *output));
      if (first.empty()) first = sums;
      EXPECT_EQ(sums, first) << "not the same bits again";
    }
  }
  double tolerance(double in_bf16) const { return real_ == DType::bf16 ? in_bf16 : 5e-5; }
  void expect(const char* name, const Tensor& got, double in_bf16, const std::function<double(int64_t)>& expected,
              int samples = 64) {
    expect_samples(*ops_, name, got, tolerance(in_bf16), expected, samples);
  }

  DType real_ = GetParam().real;
  std::unique_ptr<Ops> ops_;
};

}  // namespace gptmoe
