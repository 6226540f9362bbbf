// Whether this machine has a GPU that this program supports, and which GPU it uses.
#include "kernels/cuda/common.cuh"
#include "kernels/cuda_limits.h"
#include "kernels/gpu_facts.h"
#include "kernels/ops.h"

namespace gptmoe {
namespace {

constexpr int kOldestMajor = 8;  // the first with cp.async and with bf16 in the tensor cores

// Shows whether the program has code for this GPU, since all kernels are compiled for the same GPUs.
__global__ void probe_kernel() {}

// "the NVIDIA H200 (compute capability 9.0)".
std::string describe_gpu(const cudaDeviceProp& properties) {
  return text("the ", properties.name, " (compute capability ", properties.major, ".", properties.minor, ")");
}

std::string version_text(int version) { return text(version / 1000, ".", version % 1000 / 10); }

// What is wrong when the runtime reports an insufficient driver, which it does even if there is no driver.
std::string driver_obstacle() {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no GPU and no GPU driver were found";
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
  const std::string gpu = describe_gpu(properties);
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

std::string why_no_hopper() {
  if (const std::string obstacle = why_no_cuda(); !obstacle.empty()) return obstacle;
  int device = 0;
  cudaDeviceProp properties{};
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  if (properties.major != 9 || properties.minor != 0)
    return text(describe_gpu(properties), " is not a Hopper GPU, which has compute capability 9.0");
#ifdef GPTMOE_HOPPER
  return "";
#else
  return "this gptmoe was built without code for compute capability 9.0a (build it with "
         "-DCMAKE_CUDA_ARCHITECTURES=90a)";
#endif
}

void use_cuda_device(int local_rank, int local_size) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    cudaGetLastError();
    return;
  }
  if (count > 1 && count < local_size)
    user_error(local_size, " ranks on this machine, but ", count, " GPUs: start ", count, ", or set device to \"cpu\"");
  CUDA_CHECK(cudaSetDevice(count == 1 ? 0 : local_rank));
}

std::string cuda_device_id() {
  int device = 0;
  cudaDeviceProp properties{};
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  std::string id = "GPU-";  // as nvidia-smi -L prints it
  for (size_t i = 0; i < sizeof properties.uuid.bytes; ++i) {
    constexpr const char* kDigits = "0123456789abcdef";
    const auto byte = static_cast<unsigned char>(properties.uuid.bytes[i]);
    if (i == 4 || i == 6 || i == 8 || i == 10) id += '-';
    id += kDigits[byte >> 4];
    id += kDigits[byte & 15];
  }
  return id;
}

int64_t cuda_multiprocessors() {
  int device = 0, count = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device));
  return count;
}

std::string cuda_driver_version() {
  int version = 0;
  CUDA_CHECK(cudaDriverGetVersion(&version));
  return version_text(version);
}

int64_t cuda_widest_head() {
  if (!why_no_cuda().empty()) return cuda::kMaxHeadDim;
  int device = 0, shared_bytes = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  return shared_bytes >= cuda::kWideHeadSharedBytes ? cuda::kMaxHeadDim : cuda::kMaxTensorHeadDim;
}

}  // namespace gptmoe
