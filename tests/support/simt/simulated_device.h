#pragma once

#include <cstdint>

#include "simt/simulated_fault.h"

namespace simt {

// The GPUs that the stand-in for the CUDA runtime reports. Tests change this to simulate missing or unsuitable GPUs.
struct SimulatedDevice {
  int count = 1, current = 0;
  char host[4] = {};  // the first bytes of every GPU's UUID; the last byte is its index
  int major = 9;
  // With only two, even small shapes in tests reach the limit on the parts of two-stage reductions.
  int multiprocessors = 2;
  bool has_code = true;          // whether the program contains code for the GPU
  int driver_version = 99990;    // 0: none is installed
  int shared_bytes = 227 << 10;  // per block
  int64_t memory_bytes = int64_t{1} << 40;
  // The number of launches, copies and waits so far, and the number of them after which the device is broken for good.
  int64_t calls = 0, calls_before_failure = has_fault("breaks") ? 2 : INT64_MAX;
  int64_t host_waits = 0;  // waits of the host for a stream or an event so far
};
extern SimulatedDevice simulated_device;

// The GPUs that the op cases run on. They differ in the properties that change results: multiprocessors, tensor
// cores, and shared memory.
SimulatedDevice small_a100();  // an A100 with two multiprocessors
SimulatedDevice h100();

}  // namespace simt
