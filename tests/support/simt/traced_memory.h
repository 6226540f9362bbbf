#pragma once
#include <cstddef>
#include <cstdint>

namespace simt {

// The shared memory of the block that runs; empty between launches. Most accesses of kernels are to other memory.
// This range tells them apart without reading the block's state.
struct TracedMemory {
  uintptr_t first = 0;
  size_t bytes = 0;
};
extern TracedMemory traced_memory;

// Notes a kernel's access to memory. Accesses to other memory than traced_memory have no effect.
void trace(const void* address, size_t bytes, bool write);

}  // namespace simt
