// Tensors of more than 2^31 elements, which the 7.33 B model has, and of more than 4 GiB. On the simulated GPU they are
// small.
#include <gtest/gtest.h>

#include <cmath>

#include "cuda/device_tensor.h"

namespace gptmoe {
namespace {

#ifdef GPTMOE_SIMT
constexpr int64_t kCount = (int64_t{1} << 15) + 4099;
#else
constexpr int64_t kCount = (int64_t{1} << 31) + 4099;
#endif
constexpr int64_t kEnd = 64;  // elements compared at either end

class LargeTensor : public ::testing::Test {
 protected:
  void SetUp() override {
    if (ops_->memory().available() < 20 * kCount) GTEST_SKIP() << "the GPU has too little free memory";
  }
  // The first or the last elements of a tensor.
  static Tensor first(const DeviceTensor& x) { return x.rows(0, kEnd); }
  static Tensor last(const DeviceTensor& x) { return x.rows(kCount - kEnd, kEnd); }
  std::vector<double> values(const Tensor& x) { return download_values(ops_->memory(), x); }
  void fill(const Tensor& x, double scale) {
    std::vector<float> numbers(kEnd);
    for (size_t i = 0; i < numbers.size(); ++i)
      numbers[i] = static_cast<float>(scale * std::sin(static_cast<double>(i)));
    upload_floats(ops_->memory(), x, numbers.data());
  }

  std::unique_ptr<Ops> ops_ = make_cuda_ops(DType::bf16);
};

TEST_F(LargeTensor, IsZeroedByAReplayedGraph) {
  const DeviceTensor x(*ops_, DType::f32, {kCount});  // 8 GiB
  const auto work = ops_->make_repeated_work();
  for (int run = 0; run < 3; ++run) {
    fill(first(x), 3), fill(x.rows(kCount / 2, kEnd), 3), fill(last(x), 3);
    work->run([&] { ops_->zero(x); });
    for (const Tensor& part : {first(x), x.rows(kCount / 2, kEnd), last(x)})
      EXPECT_EQ(values(part), std::vector<double>(kEnd, 0)) << run;
  }
}

TEST_F(LargeTensor, IsCountedSummedAndCastToItsEnd) {
  const DeviceTensor x(*ops_, DType::f32, {kCount}), rounded(*ops_, DType::bf16, {kCount});
  const DeviceTensor norm(*ops_, DType::f32, {1});
  fill(last(x), 2);
  ops_->cast(rounded, x);
  double squares = 0;
  const std::vector<double> exact = values(last(x)), narrow = values(last(rounded));
  for (size_t i = 0; i < exact.size(); ++i) {
    EXPECT_NEAR(narrow[i], exact[i], 0.01 * std::abs(exact[i])) << i;
    squares += exact[i] * exact[i];
  }
  ops_->squared_norm(norm, x);
  EXPECT_NEAR(norm.values().front(), squares, 1e-4 * squares);
  EXPECT_EQ(ops_->count_nonfinite(x), 0);
  fill(last(x), INFINITY);  // and sin(0) * infinity is NaN
  EXPECT_EQ(ops_->count_nonfinite(x), kEnd);
}

// The last elements of a long range take the same step as a short range of them.
TEST_F(LargeTensor, TakesAStepOfTheOptimizerToItsEnd) {
  const AdamwConstants constants{0.9, 0.95, 1e-8, 0.1};
  const DeviceTensor scale(*ops_, DType::f32, {1}, {1}), rates(*ops_, DType::f32, {3});
  upload_values(ops_->memory(), rates, adamw_rates(1e-2, constants, 1).data());
  const auto stepped = [&](int64_t count) {
    const DeviceTensor param(*ops_, DType::bf16, {count}), master(*ops_, DType::f32, {count});
    const DeviceTensor m(*ops_, DType::f32, {count}), v(*ops_, DType::f32, {count}), grad(*ops_, DType::f32, {count});
    fill(master.rows(count - kEnd, kEnd), 1), fill(grad.rows(count - kEnd, kEnd), 0.5);
    ops_->adamw(param, master, m, v, grad, scale, rates, constants);
    return std::pair(values(master.rows(count - kEnd, kEnd)), values(param.rows(count - kEnd, kEnd)));
  };
  EXPECT_EQ(stepped(kCount), stepped(kEnd));
}

}  // namespace
}  // namespace gptmoe
