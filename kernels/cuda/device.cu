// Whether this machine has a GPU that this program runs on.
#include "kernels/cuda/common.cuh"
#include "kernels/cuda_limits.h"
#include "kernels/ops.h"

namespace gptmoe {
namespace {

constexpr int kOldestMajor = 8;  // cp.async, bf16 in the tensor cores

// Compiled for what all kernels are compiled for.
__global__ void probe_kernel() {}

std::string version_text(int version) { return text(version / 1000, ".", version % 1000 / 10); }

// The runtime calls a driver insufficient that is not there at all, too.
std::string driver_obstacle() {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no GPU was found (nor a driver of one)";
  return text("the GPU's driver is for CUDA ", version_text(driver), ", older than this gptmoe's ",
              version_text(CUDART_VERSION), " (update it)");
}

}  // namespace

std::string why_no_cuda() {
  int count = 0, device = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&count); status != cudaSuccess || count == 0) {
    cudaGetLastError();
    if (status == cudaErrorInsufficientDriver) return driver_obstacle();
    return text("no GPU was found", status == cudaSuccess ? "" : text(" (", cudaGetErrorString(status), ")"));
  }
  cudaDeviceProp properties{};
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  const std::string gpu =
      text("the ", properties.name, " (compute capability ", properties.major, ".", properties.minor, ")");
  if (properties.major < kOldestMajor)
    return text(gpu, " is too old: gptmoe needs compute capability ", kOldestMajor, ".0, an A100 or newer");
  cudaFuncAttributes attributes{};
  if (cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(probe_kernel)) != cudaSuccess) {
    cudaGetLastError();
    return text(gpu, " is not among the GPUs this gptmoe was built for (build it with -DCMAKE_CUDA_ARCHITECTURES=",
                properties.major, properties.minor, ")");
  }
  return "";
}

int64_t cuda_widest_head() {
  int device = 0, shared_bytes = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  return shared_bytes >= cuda::kWideHeadSharedBytes ? cuda::kMaxHeadDim : cuda::kMaxTensorHeadDim;
}

}  // namespace gptmoe
