#include "kernels/cuda/cuda_check.h"

#include <string_view>

namespace gptmoe::cuda {
namespace {

// Whether a running kernel caused the error: a bad address or instruction, a stack overflow, a time limit, ... These
// errors have consecutive numbers, except for one number in between, which is a launch error.
bool made_by_a_kernel(cudaError_t status) {
  return status >= cudaErrorIllegalAddress && status <= cudaErrorLaunchFailure &&
         status != cudaErrorLaunchOutOfResources;
}

}  // namespace

void check(cudaError_t status, const char* what, const char* file, int line) {
  if (status == cudaSuccess) return;
  const std::string_view path = file;
  throw DeviceError(
      text("CUDA: ", what, " (", path.substr(path.rfind('/') + 1), ":", line, "): ", cudaGetErrorString(status), " (",
           cudaGetErrorName(status), ")",
           made_by_a_kernel(status)
               ? "; this or an earlier kernel failed: to find it, run again with CUDA_LAUNCH_BLOCKING=1 in "
                 "the environment and --set train.cuda_graphs=false"
               : ""));
}

}  // namespace gptmoe::cuda
