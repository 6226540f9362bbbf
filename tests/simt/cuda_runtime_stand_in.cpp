// The CUDA runtime calls that the backend makes, over host memory: what tests link in place of the library.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "simt/device_memory.h"
#include "simt/simulated_device.h"

simt::SimulatedDevice simt::simulated_device;
using simt::simulated_device;

namespace {

cudaError_t use_device() {
  return ++simulated_device.calls > simulated_device.calls_before_failure ? cudaErrorIllegalAddress : cudaSuccess;
}
#define RETURN_IF_BROKEN() \
  if (const cudaError_t status = use_device(); status != cudaSuccess) return status

}  // namespace

extern "C" {

cudaError_t cudaDriverGetVersion(int* version) {
  *version = simulated_device.driver_version;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int* count) {
  if (simulated_device.driver_version < CUDART_VERSION) return cudaErrorInsufficientDriver;
  *count = simulated_device.count;
  return simulated_device.count > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, const void*) {
  return simulated_device.has_code ? cudaSuccess : cudaErrorNoKernelImageForDevice;
}
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  // Few, so that two-stage reductions have few first stages even at the shapes of tests.
  *value = attribute == cudaDevAttrMultiProcessorCount ? 2 : 0;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = cudaDeviceProp{};
  std::strcpy(properties->name, "simulated GPU");
  properties->major = simulated_device.major;
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return use_device(); }
cudaError_t cudaPeekAtLastError() { return use_device(); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = static_cast<size_t>(simulated_device.memory_bytes);
  *free = *total - std::min(*total, simt::device_memory_in_use());
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** memory, size_t bytes) {
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  *memory = bytes <= free ? simt::allocate_device(bytes) : nullptr;
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* memory) { return simt::release_device(memory) ? cudaSuccess : cudaErrorInvalidValue; }
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  *memory = std::malloc(bytes);
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
  RETURN_IF_BROKEN();
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  // Op cases call the memory of their buffers the device's, so only guarded memory can tell.
  if (simt::device_memory_guarded() &&
      (simt::in_device_memory(to) != to_device || simt::in_device_memory(from) != from_device))
    return cudaErrorInvalidValue;
  const simt::DeviceAccess access;
  std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  RETURN_IF_BROKEN();
  if (simt::device_memory_guarded() && !simt::in_device_memory(memory)) return cudaErrorInvalidValue;
  const simt::DeviceAccess access;
  std::memset(memory, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return use_device(); }
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t) { return "an error of the simulated runtime"; }
const char* cudaGetErrorName(cudaError_t) { return "cudaErrorSimulated"; }

}  // extern "C"
