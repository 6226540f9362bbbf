// The CUDA backend's memory, and how the simulated GPU guards it.
#include "simt/device_memory.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/rng.h"
#include "kernels/ops.h"
#include "memory/arena.h"
#include "simt/simulated_device.h"

namespace gptmoe {
namespace {

class DeviceMemory : public ::testing::Test {
 protected:
  DeviceMemory() { simt::guard_device_memory(true); }
  ~DeviceMemory() override { simt::guard_device_memory(false); }

  std::unique_ptr<Ops> ops_ = make_cuda_ops(DType::f32);
  Memory& memory_ = ops_->memory();
};

TEST_F(DeviceMemory, ArenasAreZeroAndKeepWhatIsUploaded) {
  constexpr int64_t kCount = (int64_t{20} << 20) / 4 + 3;  // copies need several staging buffers
  Arena arena("test");
  arena.allocate(DType::i32, {kCount});
  arena.commit(memory_);
  const Tensor x = arena.allocate(DType::i32, {kCount});
  std::vector<int32_t> got(kCount, -1), sent(kCount);
  memory_.download(got.data(), x);
  EXPECT_EQ(got, std::vector<int32_t>(kCount, 0));
  const Rng rng(1, 2);
  for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<int32_t>(rng.bits(i));
  memory_.upload(x, sent.data());
  memory_.download(got.data(), x);
  EXPECT_EQ(got, sent);

  std::vector<char> parts;
  for_each_host_part(memory_, x, [&](const void* data, int64_t bytes) {
    parts.insert(parts.end(), static_cast<const char*>(data), static_cast<const char*>(data) + bytes);
  });
  EXPECT_EQ(std::memcmp(parts.data(), sent.data(), parts.size()), 0);
  EXPECT_EQ(parts.size(), sent.size() * 4);
}

TEST_F(DeviceMemory, AnOutOfMemoryFailureNamesTheArena) {
  Arena arena("activations");
  arena.allocate(DType::f32, {int64_t{1} << 60});
  try {
    arena.commit(memory_);
    FAIL();
  } catch (const Failure& failure) {
    EXPECT_NE(std::string(failure.what()).find("out of GPU memory: arena activations"), std::string::npos)
        << failure.what();
  }
}

TEST_F(DeviceMemory, ReportsTheAvailableBytes) {
  const int64_t before = memory_.available();
  ASSERT_GT(before, 0);
  {
    Arena arena("test");
    arena.allocate(DType::f32, {1000000});
    arena.commit(memory_);
    EXPECT_NEAR(static_cast<double>(before - memory_.available()), 4e6, 8192);
  }
  EXPECT_EQ(memory_.available(), before);
  simt::simulated_device.memory_bytes = 1 << 20;
  EXPECT_EQ(memory_.available(), 0);
  simt::simulated_device = {};
}

TEST_F(DeviceMemory, HostCodeThatTouchesItDies) {
  Arena arena("test");
  arena.allocate(DType::f32, {4});
  arena.commit(memory_);
  auto* values = arena.allocate(DType::f32, {4}).as<float>();
  EXPECT_DEATH(values[0] = 1, "the host touched device memory");
  EXPECT_DEATH(std::printf("%f", static_cast<double>(values[3])), "the host touched device memory");
  const simt::DeviceAccess access;  // kernels hold one too
  values[0] = 1;
}

TEST_F(DeviceMemory, CopiesRefuseHostMemoryInPlaceOfDeviceMemory) {
  std::vector<float> host(4);
  const Tensor not_there(host.data(), DType::f32, {4});
  EXPECT_THROW(memory_.upload(not_there, host.data()), Failure);
  EXPECT_THROW(memory_.download(host.data(), not_there), Failure);
}

}  // namespace
}  // namespace gptmoe
