// The CUDA runtime calls that the backend makes, over host memory: what tests link in place of the library.
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "simt/device_memory.h"
#include "simt/simulated_device.h"
#include "simt/stream.h"

namespace simt {

SimulatedDevice simulated_device;
Traffic traffic;

namespace {

using Recording = std::vector<std::function<void()>>;
Recording* recording = nullptr;  // of the capture under way

cudaGraph_t as_graph(Recording* made) { return reinterpret_cast<cudaGraph_t>(made); }
Recording* as_recording(cudaGraph_t graph) { return reinterpret_cast<Recording*>(graph); }
Recording* as_recording(cudaGraphExec_t graph) { return reinterpret_cast<Recording*>(graph); }

cudaError_t use_device() {
  return ++simulated_device.calls > simulated_device.calls_before_failure ? cudaErrorIllegalAddress : cudaSuccess;
}

}  // namespace

bool capturing() { return recording != nullptr; }

void submit(std::function<void()> work) {
  ++traffic.launches;
  if (recording)
    recording->push_back(std::move(work));
  else
    work();
}

}  // namespace simt

#define RETURN_IF_BROKEN() \
  if (const cudaError_t status = simt::use_device(); status != cudaSuccess) return status
// What no capture allows.
#define REFUSE_IN_CAPTURE() \
  if (simt::capturing()) return cudaErrorStreamCaptureUnsupported

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
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  // Few, so that two-stage reductions have few first stages even at the shapes of tests.
  *value = attribute == cudaDevAttrMultiProcessorCount            ? 2
           : attribute == cudaDevAttrMaxSharedMemoryPerBlockOptin ? simulated_device.shared_bytes
                                                                  : 0;
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
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  REFUSE_IN_CAPTURE();
  return simt::use_device();
}
cudaError_t cudaPeekAtLastError() { return simt::use_device(); }
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  REFUSE_IN_CAPTURE();
  simt::recording = new simt::Recording;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  *graph = simt::as_graph(std::exchange(simt::recording, nullptr));
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  *executable = reinterpret_cast<cudaGraphExec_t>(new simt::Recording(*simt::as_recording(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete simt::as_recording(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete simt::as_recording(graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t) {
  RETURN_IF_BROKEN();
  ++traffic.graph_launches;
  for (const auto& work : *simt::as_recording(graph)) work();
  return cudaSuccess;
}
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
cudaError_t cudaFree(void* memory) { return simt::release_device(memory) ? cudaSuccess : cudaErrorInvalidValue; }
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  REFUSE_IN_CAPTURE();
  ++traffic.allocations;
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
  if (kind != cudaMemcpyDeviceToDevice) REFUSE_IN_CAPTURE();
  traffic.uploads += kind == cudaMemcpyHostToDevice;
  traffic.downloads += kind == cudaMemcpyDeviceToHost;
  simt::submit([=] {
    const simt::DeviceAccess access;
    std::memmove(to, from, bytes);
  });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t) {
  RETURN_IF_BROKEN();
  if (simt::device_memory_guarded() && !simt::in_device_memory(memory)) return cudaErrorInvalidValue;
  simt::submit([=] {
    const simt::DeviceAccess access;
    std::memset(memory, value, bytes);
  });
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) {
  REFUSE_IN_CAPTURE();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  REFUSE_IN_CAPTURE();
  return simt::use_device();
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t) { return "an error of the simulated runtime"; }
const char* cudaGetErrorName(cudaError_t) { return "cudaErrorSimulated"; }

}  // extern "C"
