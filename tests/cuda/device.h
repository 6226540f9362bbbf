#pragma once
// Controls the GPU that the CUDA backend's tests run on. With GPTMOE_SIMT it is the simulated GPU of
// tests/support/simt. Otherwise it is a real one, and the functions and the class below do nothing.
#include <cstdint>

#ifdef GPTMOE_SIMT
#include "simt/device_memory.h"
#include "simt/runtime.h"
#include "simt/simulated_device.h"
#endif

namespace gptmoe {

// Makes blocks and threads run in another order from now on. With an even seed, blocks also overlap, threads take finer
// turns, and copies are made early or late. A real GPU changes the order by itself.
inline void reorder_execution([[maybe_unused]] uint64_t seed) {
#ifdef GPTMOE_SIMT
  simt::set_seed(seed);
  simt::set_timing(seed % 2 == 0 ? simt::Timing::interleaved : simt::Timing::late);
#endif
}

// Chooses the simulated GPU that is used from now on. Ops made for one must not run on another.
enum class GpuModel { usual, small_a100, h100 };
inline void use_gpu([[maybe_unused]] GpuModel gpu) {
#ifdef GPTMOE_SIMT
  simt::simulated_device = gpu == GpuModel::usual        ? simt::SimulatedDevice{}
                           : gpu == GpuModel::small_a100 ? simt::small_a100()
                                                         : simt::h100();
#endif
}

// While one of these exists, host code that touches device memory ends the process, as on a real GPU.
class GuardedDeviceMemory {
 public:
#ifdef GPTMOE_SIMT
  GuardedDeviceMemory() { simt::guard_device_memory(true); }
  ~GuardedDeviceMemory() { simt::guard_device_memory(false); }
#else
  GuardedDeviceMemory() {}  // not defaulted: a user-written constructor avoids the warning about an unused variable
#endif
  GuardedDeviceMemory(const GuardedDeviceMemory&) = delete;
  GuardedDeviceMemory& operator=(const GuardedDeviceMemory&) = delete;
};

}  // namespace gptmoe
