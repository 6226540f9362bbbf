// The messages for errors of the CUDA runtime.
#include "kernels/cuda/cuda_check.h"

#include <gtest/gtest.h>

#include "kernels/ops.h"
#include "simt/simulated_device.h"
#include "support/error_message.h"

namespace gptmoe {
namespace {

TEST(CudaCheck, NamesTheCallAndItsPlace) {
  CUDA_CHECK(cudaSuccess);
  EXPECT_EQ(message<DeviceError>([] { cuda::check(cudaErrorInvalidValue, "cudaMemcpy", "a/b/memory.cpp", 7); }),
            "CUDA: cudaMemcpy (memory.cpp:7): an error of the simulated runtime (cudaErrorSimulated)");
}

TEST(CudaCheck, AKernelsErrorMayComeFromAnEarlierKernel) {
  const std::string hint =
      "; this or an earlier kernel failed: to find it, run again with CUDA_LAUNCH_BLOCKING=1 in the environment and "
      "--set train.cuda_graphs=false";
  const auto said = [](cudaError_t status) {
    return message<DeviceError>([&] { cuda::check(status, "some_kernel", "ops.cu", 1); });
  };
  for (const cudaError_t status : {cudaErrorIllegalAddress, cudaErrorMisalignedAddress, cudaErrorLaunchFailure})
    EXPECT_TRUE(said(status).ends_with(hint)) << said(status);
  for (const cudaError_t status :
       {cudaErrorMemoryAllocation, cudaErrorNoKernelImageForDevice, cudaErrorLaunchOutOfResources})
    EXPECT_EQ(said(status).find(hint), std::string::npos) << said(status);
}

TEST(CudaCheck, ALaunchErrorNamesTheKernelAndTheFileOfItsOps) {
  const auto ops = make_cuda_ops(DType::f32);
  std::vector<float> h(4), a(4);
  simt::simulated_device.calls = 0;
  simt::simulated_device.calls_before_failure = 0;
  const std::string line = message<DeviceError>([&] {
    ops->gelu_forward(Tensor(a.data(), DType::f32, {1, 4}), Tensor(h.data(), DType::f32, {1, 4}));
  });
  simt::simulated_device = {};
  EXPECT_NE(line.find("CUDA: (gelu_forward_kernel<T, N>) (activation.cu:"), std::string::npos) << line;
}

}  // namespace
}  // namespace gptmoe
