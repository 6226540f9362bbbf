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

  // The window address of a unit of 16 bytes. K-major: unit `k` of row `mn`, which holds 8 k. MN-major: unit `mn`,
  // which holds 8 rows, of step k.
  uint32_t unit_address(uint32_t mn, uint32_t k, bool mn_major) const;
};

// The address at which a swizzle puts the byte that belongs to `address`.
inline uint32_t swizzled(uint32_t address, uint32_t swizzle_bytes, uint32_t base_offset) {
  if (swizzle_bytes == 0) return address;
  return address ^ ((address / 128 - base_offset) % (swizzle_bytes / 16)) * 16;
}

}  // namespace simt
