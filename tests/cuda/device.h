#pragma once
// What the tests of the CUDA backend ask of the GPU that they run on: the simulated one of tests/support/simt, where
// they are compiled with GPTMOE_SIMT, or a real one.
#include <cstdint>

#ifdef GPTMOE_SIMT
#include "simt/device_memory.h"
#include "simt/runtime.h"
#endif

namespace gptmoe {

// From now on blocks and threads run in another order. A real GPU's scheduler takes one of its own every time.
inline void reorder_execution([[maybe_unused]] uint64_t seed) {
#ifdef GPTMOE_SIMT
  simt::set_seed(seed);
#endif
}

// While one lives, host code that touches device memory ends the process, as it does on a real GPU.
class GuardedDeviceMemory {
 public:
#ifdef GPTMOE_SIMT
  GuardedDeviceMemory() { simt::guard_device_memory(true); }
  ~GuardedDeviceMemory() { simt::guard_device_memory(false); }
#else
  GuardedDeviceMemory() {}  // not defaulted: an object with a constructor is not an unused one
#endif
  GuardedDeviceMemory(const GuardedDeviceMemory&) = delete;
  GuardedDeviceMemory& operator=(const GuardedDeviceMemory&) = delete;
};

}  // namespace gptmoe
