// What single CUDA kernels promise beyond the op cases.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/cuda/common.cuh"
#include "ops/backends.h"

namespace gptmoe {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

template <typename T>
Tensor tensor(std::vector<T>& values, std::initializer_list<int64_t> sizes) {
  return {values.data(), DTypeOf<T>::value, sizes};
}

template <typename T>
void count_some() {
  const auto ops = make_cuda_ops(DTypeOf<T>::value);
  for (int64_t n : {1, 7, 1000, 20001}) {
    std::vector<T> x(n, T(std::numeric_limits<float>::max() / 2));
    EXPECT_EQ(ops->count_nonfinite(tensor(x, {n})), 0);
    for (int64_t i = 0; i < n; i += 3) x[i] = T(i % 2 ? kInf : i % 4 ? kNan : -kInf);
    EXPECT_EQ(ops->count_nonfinite(tensor(x, {n})), (n + 2) / 3);
  }
}

TEST(CudaSpecial, CountsInfinitiesAndNotANumbers) {
  count_some<float>();
  count_some<cuda::bf16>();
}

TEST(CudaSpecial, TopkStaysInRangeWithoutNumbers) {
  std::vector<float> probs = {kNan, kNan, kNan, kNan,  kNan,  // nothing to choose by
                              kNan, 0.5f, kNan, 0.25f, 0.0f,  // two numbers, and zero
                              0.2f, 0.2f, kNan, 0.6f,  0.2f};
  std::vector<int32_t> ids(12, -7);
  std::vector<float> gates(12, -7);
  make_cuda_ops(DType::f32)->topk_forward(tensor(ids, {3, 4}), tensor(gates, {3, 4}), tensor(probs, {3, 5}), false);
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 1, 2, 3, 1, 3, 4, 0, 3, 0, 1, 4}));
}

// Ranges of equal weight decay begin where parameters do, on no particular boundary.
TEST(CudaSpecial, AdamwTakesRangesThatBeginAnywhere) {
  const auto ops = make_cuda_ops(DType::bf16);
  const AdamwConstants constants{0.9, 0.95, 1e-8, 0.1};
  const auto numbers = adamw_rates(1e-2, constants, 1);
  std::vector<float> rates(numbers.begin(), numbers.end());
  constexpr int64_t kCount = 40;
  std::vector<float> scale = {1}, whole_master;
  for (int64_t first : {0, 1, 4}) {
    std::vector<float> master(kCount), m(kCount, 0.1f), v(kCount, 0.2f), grad(kCount);
    std::vector<cuda::bf16> param(kCount);
    for (int64_t i = 0; i < kCount; ++i) {
      master[i] = std::sin(static_cast<float>(i));
      grad[i] = std::cos(static_cast<float>(i));
    }
    for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, first}, {first, kCount - first}}) {
      const auto part = [&, begin = begin, count = count](auto& values) {
        return tensor(values, {kCount}).rows(begin, count);
      };
      ops->adamw(part(param), part(master), part(m), part(v), part(grad), tensor(scale, {1}), tensor(rates, {3}),
                 constants);
    }
    if (first == 0) whole_master = master;
    EXPECT_EQ(master, whole_master);
    for (int64_t i = 0; i < kCount; ++i)
      EXPECT_EQ(cuda::to_float(param[i]), cuda::to_float(__float2bfloat16(master[i])));
  }
}

}  // namespace
}  // namespace gptmoe
