// What single CUDA kernels promise beyond the op cases.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/bf16.h"
#include "ops/backends.h"

namespace gptmoe {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

// A tensor in the backend's memory.
class DeviceTensor {
 public:
  DeviceTensor(Ops& ops, DType dtype, std::initializer_list<int64_t> sizes)
      : memory_(ops.memory()), tensor_(nullptr, dtype, sizes) {
    tensor_ = Tensor(memory_.allocate(tensor_.bytes()), dtype, sizes);
  }
  DeviceTensor(Ops& ops, DType dtype, std::initializer_list<int64_t> sizes, const std::vector<float>& values)
      : DeviceTensor(ops, dtype, sizes) {
    upload_floats(memory_, tensor_, values.data());
  }
  DeviceTensor(const DeviceTensor&) = delete;
  DeviceTensor& operator=(const DeviceTensor&) = delete;
  ~DeviceTensor() { memory_.release(tensor_.data(), tensor_.bytes()); }

  operator const Tensor&() const { return tensor_; }
  Tensor rows(int64_t begin, int64_t count) const { return tensor_.rows(begin, count); }
  std::vector<double> values() const { return download_values(memory_, tensor_); }
  std::vector<int32_t> ids() const {
    std::vector<int32_t> out(static_cast<size_t>(tensor_.count()));
    memory_.download(out.data(), tensor_);
    return out;
  }

 private:
  Memory& memory_;
  Tensor tensor_;
};

TEST(CudaSpecial, CountsInfinitiesAndNotANumbers) {
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

TEST(CudaSpecial, TopkStaysInRangeWithoutNumbers) {
  const auto ops = make_cuda_ops(DType::f32);
  const DeviceTensor probs(*ops, DType::f32, {3, 5},
                           {kNan, kNan, kNan, kNan, kNan,   // nothing to choose by
                            kNan, 0.5f, kNan, 0.25f, 0.0f,  // two numbers, and zero
                            0.2f, 0.2f, kNan, 0.6f, 0.2f});
  const DeviceTensor ids(*ops, DType::i32, {3, 4}), gates(*ops, DType::f32, {3, 4});
  ops->topk_forward(ids, gates, probs, false);
  EXPECT_EQ(ids.ids(), (std::vector<int32_t>{0, 1, 2, 3, 1, 3, 4, 0, 3, 0, 1, 4}));
}

// Ranges of equal weight decay begin where parameters do, on no particular boundary.
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

}  // namespace
}  // namespace gptmoe
