#pragma once
// The simulated GPU's memory. It is host memory, but while it is guarded the host can touch it only in kernels and
// copies, as on a real GPU.
#include <cstddef>

namespace simt {

void* allocate_device(size_t bytes);  // between two guard pages; the first bytes are NaNs
bool release_device(void* memory);    // false: `memory` was not allocated here
size_t device_memory_in_use();        // bytes, in whole pages
bool in_device_memory(const void* address);

// Switches the guard on or off. While it is on, touching device memory without a DeviceAccess ends the process with a
// message.
void guard_device_memory(bool on);
bool device_memory_guarded();

// Device memory may be touched while one of these exists. Kernels and copies hold one.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace simt
