// Implements the CUDA runtime calls that the backend makes, over host memory. Tests link this instead of the library.
// Streams, events and graphs are in stream.cpp.
#include <cuda.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "simt/device_memory.h"
#include "simt/runtime_status.h"
#include "simt/simulated_device.h"
#include "simt/stream.h"

namespace simt {

SimulatedDevice simulated_device;

SimulatedDevice small_a100() {
  SimulatedDevice device;
  device.major = 8;
  device.shared_bytes = 163 << 10;
  return device;
}
SimulatedDevice h100() {
  SimulatedDevice device;
  device.multiprocessors = 132;
  return device;
}

}  // namespace simt

// A driver may keep the width of a graph's memset in 32 bits.
constexpr size_t kMostBytesOfMemsetNode = UINT32_MAX;

extern "C" {

using simt::simulated_device;
using simt::traffic;

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
  *device = simulated_device.current;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= simulated_device.count) return cudaErrorInvalidDevice;
  simulated_device.current = device;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = simulated_device.multiprocessors; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = simulated_device.shared_bytes; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = simulated_device.shared_bytes + 1024; break;
    default: return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = cudaDeviceProp{};
  std::strcpy(properties->name, "simulated GPU");
  properties->major = simulated_device.major;
  properties->multiProcessorCount = simulated_device.multiprocessors;
  std::memcpy(properties->uuid.bytes, simulated_device.host, sizeof simulated_device.host);
  properties->uuid.bytes[15] = static_cast<char>(device);
  return cudaSuccess;
}
cudaError_t cudaPeekAtLastError() { return simt::use_device(); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = static_cast<size_t>(simulated_device.memory_bytes);
  *free = *total - std::min(*total, simt::device_memory_in_use());
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** memory, size_t bytes) {
  REFUSE_IN_CAPTURE();
  ++traffic.allocations;
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  *memory = bytes <= free ? simt::allocate_device(bytes) : nullptr;
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* memory) {
  REFUSE_IN_CAPTURE();
  simt::finish_all();
  return simt::release_device(memory) ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  REFUSE_IN_CAPTURE();
  ++traffic.allocations;
  *memory = std::malloc(bytes);
  return *memory ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* memory) {
  REFUSE_IN_CAPTURE();
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  RETURN_IF_BROKEN();
  REFUSE_WORK(stream);
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  // Op cases pass ordinary host memory as device memory, so the kind is checked only while device memory is guarded.
  if (simt::device_memory_guarded() &&
      (simt::in_device_memory(to) != to_device || simt::in_device_memory(from) != from_device))
    return cudaErrorInvalidValue;
  if (kind != cudaMemcpyDeviceToDevice) REFUSE_IN_CAPTURE();
  traffic.uploads += kind == cudaMemcpyHostToDevice;
  traffic.downloads += kind == cudaMemcpyDeviceToHost;
  simt::submit(stream, [=] {
    const simt::DeviceAccess access;
    std::memmove(to, from, bytes);
  });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  RETURN_IF_BROKEN();
  REFUSE_WORK(stream);
  if (simt::captured(stream) && bytes > kMostBytesOfMemsetNode) return cudaErrorInvalidValue;
  if (simt::device_memory_guarded() && !simt::in_device_memory(memory)) return cudaErrorInvalidValue;
  simt::submit(stream, [=] {
    const simt::DeviceAccess access;
    std::memset(memory, value, bytes);
  });
  return cudaSuccess;
}
cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* found) {
  const bool known = std::strcmp(symbol, "cuTensorMapEncodeTiled") == 0;
  *function = known ? reinterpret_cast<void*>(&cuTensorMapEncodeTiled) : nullptr;
  *found = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t) { return "an error of the simulated runtime"; }
const char* cudaGetErrorName(cudaError_t) { return "cudaErrorSimulated"; }

}  // extern "C"
