// Guarantees of individual CUDA kernels that op cases do not cover.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/bf16.h"
#include "cuda/device_tensor.h"
#include "ops/backends.h"

namespace gptmoe {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

TEST(CudaSpecial, CountsInfinitiesAndNaNs) {
  for (const DType compute : {DType::f32, DType::bf16}) {
    const auto ops = make_cuda_ops(compute);
    for (int64_t n : {1, 7, 1000, 20001}) {
      std::vector<float> x(n, std::numeric_limits<float>::max() / 2);
      EXPECT_EQ(ops->count_nonfinite(DeviceTensor(*ops, compute, {n}, x)), 0);
      for (int64_t i = 0; i < n; i += 3) x[i] = i % 2 ? kInf : i % 4 ? kNan : -kInf;
      EXPECT_EQ(ops->count_nonfinite(DeviceTensor(*ops, compute, {n}, x)), (n + 2) / 3);
    }
  }
}

TEST(CudaSpecial, TopkStaysInRangeIfProbabilitiesAreNaN) {
  const auto ops = make_cuda_ops(DType::f32);
  const DeviceTensor probs(*ops, DType::f32, {3, 5},
                           {kNan, kNan, kNan, kNan, kNan,   // no numbers at all
                            kNan, 0.5f, kNan, 0.25f, 0.0f,  // two positive numbers and a zero
                            0.2f, 0.2f, kNan, 0.6f, 0.2f});
  const DeviceTensor ids(*ops, DType::i32, {3, 4}), gates(*ops, DType::f32, {3, 4});
  ops->topk_forward(ids, gates, probs, false, 1);
  EXPECT_EQ(ids.ids(), (std::vector<int32_t>{0, 1, 2, 3, 1, 3, 4, 0, 3, 0, 1, 4}));
}

// A range of parameters with equal weight decay begins at a parameter and need not be aligned.
TEST(CudaSpecial, AdamwTakesRangesThatBeginAnywhere) {
  const auto ops = make_cuda_ops(DType::bf16);
  const AdamwConstants constants{0.9, 0.95, 1e-8, 0.1};
  constexpr int64_t kCount = 40;
  std::vector<float> start(kCount), gradient(kCount);
  for (int64_t i = 0; i < kCount; ++i) {
    start[i] = std::sin(static_cast<float>(i));
    gradient[i] = std::cos(static_cast<float>(i));
  }
  const DeviceTensor scale(*ops, DType::f32, {1}, {1}), grad(*ops, DType::f32, {kCount}, gradient);
  const DeviceTensor rates(*ops, DType::f32, {3});
  upload_values(ops->memory(), rates, adamw_rates(1e-2, constants, 1).data());
  std::vector<double> whole_master;
  for (int64_t first : {0, 1, 4}) {
    const DeviceTensor param(*ops, DType::bf16, {kCount}), master(*ops, DType::f32, {kCount}, start);
    const DeviceTensor m(*ops, DType::f32, {kCount}, std::vector<float>(kCount, 0.1f));
    const DeviceTensor v(*ops, DType::f32, {kCount}, std::vector<float>(kCount, 0.2f));
    for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, first}, {first, kCount - first}}) {
      const auto part = [begin = begin, count = count](const DeviceTensor& all) { return all.rows(begin, count); };
      ops->adamw(part(param), part(master), part(m), part(v), part(grad), scale, rates, constants);
    }
    const std::vector<double> got = master.values(), rounded = param.values();
    if (first == 0) whole_master = got;
    EXPECT_EQ(got, whole_master);
    for (int64_t i = 0; i < kCount; ++i)
      EXPECT_EQ(rounded[i], static_cast<double>(bf16_value(bf16_bits(static_cast<float>(got[i])))));
  }
}

// A gradient bucket, too, begins at a parameter and need not be aligned.
TEST(CudaSpecial, CastTakesRangesThatBeginAnywhere) {
  const auto ops = make_cuda_ops(DType::bf16);
  constexpr int64_t kCount = 40;
  std::vector<float> numbers(kCount);
  for (int64_t i = 0; i < kCount; ++i) numbers[i] = std::sin(static_cast<float>(i));
  numbers[20] = kInf, numbers[21] = kNan;
  const DeviceTensor x(*ops, DType::f32, {kCount}, numbers);
  for (const auto& [to, from] : {std::pair<int64_t, int64_t>{0, 0}, {1, 1}, {0, 1}, {3, 0}, {4, 8}}) {
    const int64_t count = kCount - std::max(to, from);
    const DeviceTensor narrow(*ops, DType::bf16, {kCount}, std::vector<float>(kCount, 7));
    const DeviceTensor wide(*ops, DType::f32, {kCount}, std::vector<float>(kCount, 7));
    ops->cast(narrow.rows(to, count), x.rows(from, count));
    ops->cast(wide.rows(from, count), narrow.rows(to, count));
    const std::vector<double> rounded = narrow.values(), widened = wide.values();
    for (int64_t i = 0; i < count; ++i) {
      const double expected = bf16_value(bf16_bits(numbers[from + i]));
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(rounded[to + i]) && std::isnan(widened[from + i]));
        continue;
      }
      EXPECT_EQ(rounded[to + i], expected) << to << " from " << from << ", element " << i;
      EXPECT_EQ(widened[from + i], expected) << to << " from " << from << ", element " << i;
    }
    for (int64_t i = 0; i < to; ++i) EXPECT_EQ(rounded[i], 7);
    for (int64_t i = to + count; i < kCount; ++i) EXPECT_EQ(rounded[i], 7);
  }
}

}  // namespace
}  // namespace gptmoe
