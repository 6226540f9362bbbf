// The simulated runtime's launches, which the backend calls as it calls CUDA's.
#include "simt/launch.h"

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include "simt/simulated_device.h"

namespace gptmoe {
namespace {

void store(int* to, int value) { *to = value; }
void never_registered() {}
void hungry() {}

const void* address(void (*kernel)()) { return reinterpret_cast<const void*>(kernel); }

TEST(Launch, CopiesItsArguments) {
  simt::register_kernel(store);
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  int got = 0, value = 7;
  int* to = &got;
  void* arguments[] = {&to, &value};
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(cudaLaunchKernel(reinterpret_cast<const void*>(store), 1, 1, arguments, 0, stream), cudaSuccess);
  cudaStreamEndCapture(stream, &graph);
  value = 8;
  to = nullptr;
  EXPECT_EQ(got, 0);
  cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphLaunch(executable, stream);
  EXPECT_EQ(got, 7);
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

TEST(Launch, RefusesAFunctionThatIsNoKernel) {
  EXPECT_EQ(cudaLaunchKernel(address(never_registered), 1, 1, nullptr, 0, nullptr), cudaErrorInvalidDeviceFunction);
}

TEST(Launch, TakesMuchSharedMemoryOnlyIfItWasAskedFor) {
  simt::register_kernel(hungry);
  const auto launch = [](size_t bytes) { return cudaLaunchKernel(address(hungry), 1, 1, nullptr, bytes, nullptr); };
  const auto ask = [](int bytes) {
    return cudaFuncSetAttribute(address(hungry), cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  EXPECT_EQ(launch(48 << 10), cudaSuccess);
  EXPECT_EQ(launch((48 << 10) + 1), cudaErrorInvalidValue);
  EXPECT_EQ(ask(simt::simulated_device.shared_bytes + 1), cudaErrorInvalidValue);
  EXPECT_EQ(ask(100 << 10), cudaSuccess);
  EXPECT_EQ(launch(100 << 10), cudaSuccess);
  EXPECT_EQ(launch((100 << 10) + 1), cudaErrorInvalidValue);
}

}  // namespace
}  // namespace gptmoe
