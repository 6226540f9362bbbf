// Launches that CUDA refuses, and those for which a multiprocessor has too little room.
#include "simt/launch.h"

#include <gtest/gtest.h>

#include <utility>

#include "kernels/cuda/common.cuh"
#include "kernels/ops.h"
#include "simt/runtime.h"
#include "simt/simulated_device.h"
#include "support/error_message.h"

namespace gptmoe::cuda {
namespace {

// The build inserts launch_bounds() into the backend's kernels only.
void plain_kernel() {}
void store_kernel(int* to, int value) { *to = value; }
void no_kernel() {}
void bounded_kernel(int threads, int blocks) { ::simt::launch_bounds(threads, blocks); }

class Launch : public ::testing::Test {
 protected:
  Launch() { cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking); }
  ~Launch() override {
    cudaStreamDestroy(stream_);
    simt::simulated_device = {};
    simt::unload_kernels();
  }

  cudaError_t plain(dim3 grid, dim3 block, size_t shared_bytes = 0) {
    simt::register_kernel(plain_kernel);
    return cudaLaunchKernel(reinterpret_cast<const void*>(plain_kernel), grid, block, nullptr, shared_bytes, stream_);
  }
  cudaError_t allow(int shared_bytes) {
    simt::register_kernel(plain_kernel);
    return cudaFuncSetAttribute(reinterpret_cast<const void*>(plain_kernel),
                                cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes);
  }
  // Returns the error in words; empty if there is none.
  std::string bounded(unsigned run, int threads, int blocks, size_t shared_bytes = 0) {
    try {
      GPTMOE_LAUNCH(bounded_kernel, 1, run, shared_bytes, stream_, threads, blocks);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "";
  }

  cudaStream_t stream_ = nullptr;
};

TEST_F(Launch, CopiesItsArguments) {
  simt::register_kernel(store_kernel);
  int got = 0, value = 7;
  int* to = &got;
  void* arguments[] = {&to, &value};
  const auto launch = [&] {
    return cudaLaunchKernel(reinterpret_cast<const void*>(store_kernel), 1, 1, arguments, 0, stream_);
  };
  EXPECT_EQ(launch(), cudaSuccess);
  EXPECT_EQ(std::exchange(got, 0), 7);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(launch(), cudaSuccess);
  cudaStreamEndCapture(stream_, &graph);
  value = 8;
  to = nullptr;
  EXPECT_EQ(got, 0);
  cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphLaunch(executable, stream_);
  EXPECT_EQ(got, 7);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
}

TEST_F(Launch, RefusesAFunctionThatIsNoKernel) {
  EXPECT_EQ(cudaLaunchKernel(reinterpret_cast<const void*>(no_kernel), 1, 1, nullptr, 0, stream_),
            cudaErrorInvalidDeviceFunction);
}

TEST_F(Launch, MoreThan48KiBOfSharedMemoryMustBeAllowed) {
  EXPECT_EQ(plain(1, 32, 48 << 10), cudaSuccess);
  EXPECT_EQ(plain(1, 32, (48 << 10) + 1), cudaErrorInvalidValue);
  EXPECT_EQ(allow(64 << 10), cudaSuccess);
  EXPECT_EQ(plain(1, 32, 64 << 10), cudaSuccess);
  EXPECT_EQ(plain(1, 32, (64 << 10) + 1), cudaErrorInvalidValue);
  EXPECT_EQ(allow(228 << 10), cudaErrorInvalidValue) << "more than a block can have";
  simt::simulated_device = simt::small_a100();
  EXPECT_EQ(allow(164 << 10), cudaErrorInvalidValue);
  EXPECT_EQ(allow(163 << 10), cudaSuccess);
}

TEST_F(Launch, AsksForSharedMemoryByItself) {
  EXPECT_EQ(bounded(128, 128, 1, 200 << 10), "");
  simt::simulated_device = simt::small_a100();
  EXPECT_TRUE(bounded(128, 128, 1, 200 << 10).starts_with("CUDA: bounded_kernel (launch_test.cpp:"));
}

TEST_F(Launch, GridsAndBlocksHaveLimits) {
  EXPECT_EQ(plain({1, 65535, 1}, 32), cudaSuccess);
  for (const dim3 grid : {dim3(0), dim3(1u << 31), dim3(1, 65536), dim3(1, 1, 65536)})
    EXPECT_EQ(plain(grid, 32), cudaErrorInvalidConfiguration) << grid.x << " " << grid.y << " " << grid.z;
  for (const dim3 block : {dim3(0), dim3(1056), dim3(32, 33), dim3(1, 1, 65)})
    EXPECT_EQ(plain(1, block), cudaErrorInvalidConfiguration) << block.x << " " << block.y << " " << block.z;
}

TEST_F(Launch, BlocksKeepTheirLaunchBounds) {
  EXPECT_EQ(bounded(256, 256, 1), "");
  EXPECT_EQ(bounded(256, 128, 1), "launched with 256 threads, but with __launch_bounds__ of 128");
  EXPECT_EQ(bounded(1024, 1024, 2), "");
  EXPECT_EQ(bounded(1024, 1024, 3),
            "__launch_bounds__ of 3 blocks per multiprocessor, but only 2 fit: each has 1024 threads and 0 bytes of "
            "shared memory");
  EXPECT_EQ(bounded(128, 128, 2, 113 << 10), "");
  EXPECT_NE(bounded(128, 128, 2, 114 << 10), "");
}

TEST_F(Launch, LargeBlocksNeedLaunchBounds) {
  EXPECT_EQ(plain(1, 256), cudaSuccess);
  EXPECT_EQ(message<simt::KernelError>([&] { plain(1, 288); }),
            "a kernel without __launch_bounds__ ran with 288 threads, which may need more registers than a "
            "multiprocessor has");
}

// Kernels of the backend declare their bounds, although nothing in their sources calls launch_bounds().
TEST_F(Launch, TheBackendsKernelsDeclareTheirBounds) {
  const auto ops = make_cuda_ops(DType::f32);
  std::vector<int32_t> ids(8), slots(8), positions(8);
  std::vector<int64_t> offsets(5);
  ops->sort_by_expert(Tensor(offsets.data(), DType::i64, {5}), Tensor(slots.data(), DType::i32, {8}),
                      Tensor(positions.data(), DType::i32, {8, 1}), Tensor(ids.data(), DType::i32, {8, 1}));
  EXPECT_EQ(offsets, (std::vector<int64_t>{0, 8, 8, 8, 8}));
}

TEST_F(Launch, ACaptureCannotLoadAKernel) {
  cudaGraph_t graph = nullptr;
  const auto capture = [&] {
    EXPECT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    const cudaError_t status = plain(1, 32);
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph),
              status == cudaSuccess ? cudaSuccess : cudaErrorStreamCaptureInvalidated);
    if (graph) cudaGraphDestroy(graph);
    return status;
  };
  simt::unload_kernels();
  EXPECT_EQ(capture(), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(plain(1, 32), cudaSuccess);
  EXPECT_EQ(capture(), cudaSuccess);
}

}  // namespace
}  // namespace gptmoe::cuda
