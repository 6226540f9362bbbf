#pragma once
// The simulated GPU's memory: the host's, but where it is guarded the host cannot reach it outside kernels and copies,
// as it could not on a machine with a GPU.
#include <cstddef>

namespace simt {

void* allocate_device(size_t bytes);  // poisoned with NaNs where it begins; pages that nobody may touch on both sides
bool release_device(void* memory);    // false: was not allocated here
size_t device_memory_in_use();        // bytes, in whole pages
bool in_device_memory(const void* address);

// From now on (or no more) a touch of device memory from outside a DeviceAccess ends the process with a message.
void guard_device_memory(bool on);
bool device_memory_guarded();

// While one lives, device memory may be touched: kernels and copies hold one.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

}  // namespace simt
