#pragma once
// The 64-bit descriptor of an operand of wgmma in shared memory, decoded by the tables of the PTX ISA.
#include <cstdint>

namespace simt {

struct MatrixDescriptor {
  uint32_t start, leading, stride;  // bytes
  uint32_t base_offset;             // the line of 128 bytes, modulo 8, at which the swizzle's pattern begins
  uint32_t swizzle_bytes;           // 0: none

  // Throws KernelError for values that the PTX ISA does not define.
  explicit MatrixDescriptor(uint64_t bits);

  // The address of a unit of 16 bytes, which holds 8 elements, in the window of shared memory (kWindowStart in
  // hopper.h). In a K-major operand, the unit holds row `mn` at depths 8 k to 8 k + 7. In an MN-major operand, the unit
  // holds rows 8 mn to 8 mn + 7 at depth `k`.
  uint32_t unit_address(uint32_t mn, uint32_t k, bool mn_major) const;
};

// The address to which a swizzle moves the byte whose address without a swizzle is `address`.
inline uint32_t swizzled(uint32_t address, uint32_t swizzle_bytes, uint32_t base_offset) {
  if (swizzle_bytes == 0) return address;
  return address ^ ((address / 128 - base_offset) % (swizzle_bytes / 16)) * 16;
}

}  // namespace simt
