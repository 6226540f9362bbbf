#pragma once
// The errors that calls of the simulated CUDA runtime return.
#include <cuda_runtime.h>

#include "simt/simulated_device.h"
#include "simt/stream.h"

namespace simt {

// Every call that would notice a broken device calls this. Counts the call, and returns an error if the device is
// broken.
inline cudaError_t use_device() {
  return ++simulated_device.calls > simulated_device.calls_before_failure ? cudaErrorIllegalAddress : cudaSuccess;
}

}  // namespace simt

#define RETURN_IF_BROKEN() \
  if (const cudaError_t status = ::simt::use_device(); status != cudaSuccess) return status
// For calls that are not allowed while a graph is captured.
#define REFUSE_IN_CAPTURE() \
  if (::simt::forbidden_in_capture()) return cudaErrorStreamCaptureUnsupported
// For calls that give work to a stream.
#define REFUSE_WORK(stream) \
  if (const cudaError_t status = ::simt::may_receive_work(stream); status != cudaSuccess) return status
