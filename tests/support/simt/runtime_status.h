#pragma once
// When calls of the simulated CUDA runtime fail.
#include <cuda_runtime.h>

#include "simt/simulated_device.h"
#include "simt/stream.h"

namespace simt {

// For calls that would find a broken device: counts, and says whether it is broken.
inline cudaError_t use_device() {
  return ++simulated_device.calls > simulated_device.calls_before_failure ? cudaErrorIllegalAddress : cudaSuccess;
}

}  // namespace simt

#define RETURN_IF_BROKEN() \
  if (const cudaError_t status = ::simt::use_device(); status != cudaSuccess) return status
// What no capture allows.
#define REFUSE_IN_CAPTURE() \
  if (::simt::capturing()) return cudaErrorStreamCaptureUnsupported
