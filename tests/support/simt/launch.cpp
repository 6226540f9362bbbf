// The CUDA runtime's calls that start kernels.
#include "simt/launch.h"

#include <cuda_runtime.h>

#include <map>
#include <mutex>

#include "simt/runtime.h"
#include "simt/runtime_status.h"
#include "simt/simulated_device.h"
#include "simt/stream.h"

namespace simt {
namespace {

struct Kernel {
  BindArguments bind;
  size_t dynamic_bytes = size_t{48} << 10;  // the most dynamic shared memory that a launch may ask for
};
std::mutex registration;
std::map<const void*, Kernel> kernels;

Kernel* find(const void* kernel) {
  const std::lock_guard lock(registration);
  const auto found = kernels.find(kernel);
  return found == kernels.end() ? nullptr : &found->second;
}

}  // namespace

void register_kernel(const void* kernel, BindArguments bind) {
  const std::lock_guard lock(registration);
  kernels.try_emplace(kernel, Kernel{std::move(bind)});
}

}  // namespace simt

using namespace simt;

extern "C" {

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  Kernel* const kernel = find(function);
  if (!kernel) return cudaErrorInvalidDeviceFunction;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > simulated_device.shared_bytes)
    return cudaErrorInvalidValue;
  kernel->dynamic_bytes = static_cast<size_t>(value);
  return cudaSuccess;
}
cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared_bytes,
                             cudaStream_t stream) {
  RETURN_IF_BROKEN();
  const Kernel* const kernel = find(function);
  if (!kernel) return cudaErrorInvalidDeviceFunction;
  if (shared_bytes > kernel->dynamic_bytes) return cudaErrorInvalidValue;
  submit(stream, [=, call = kernel->bind(arguments)] {
    launch({grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared_bytes, call);
  });
  return cudaSuccess;
}

}  // extern "C"
