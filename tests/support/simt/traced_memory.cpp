// clang's -fsanitize-coverage=trace-loads,trace-stores calls these functions before each access of the kernels.
#include "simt/traced_memory.h"

#include "simt/runtime.h"

namespace simt {

TracedMemory traced_memory;

void trace(const void* address, size_t bytes, bool write) {
  if (reinterpret_cast<uintptr_t>(address) - traced_memory.first < traced_memory.bytes)
    note_access(address, bytes, write);
}

}  // namespace simt

#define TRACE(bytes, type)                                                                           \
  extern "C" void __sanitizer_cov_load##bytes(const type* from) { simt::trace(from, bytes, false); } \
  extern "C" void __sanitizer_cov_store##bytes(const type* to) { simt::trace(to, bytes, true); }
TRACE(1, uint8_t)
TRACE(2, uint16_t)
TRACE(4, uint32_t)
TRACE(8, uint64_t)
TRACE(16, __uint128_t)
#undef TRACE
