#include "simt/matrix_descriptor.h"

#include "simt/runtime.h"

namespace simt {

MatrixDescriptor::MatrixDescriptor(uint64_t bits) {
  const auto bytes = [&](int from) { return static_cast<uint32_t>(bits >> from & 0x3FFF) * 16; };
  constexpr uint32_t kSwizzles[] = {0, 128, 64, 32};
  start = bytes(0);
  leading = bytes(16);
  stride = bytes(32);
  base_offset = static_cast<uint32_t>(bits >> 49 & 7);
  swizzle_bytes = kSwizzles[bits >> 62];
  constexpr uint64_t kUsed = 0x3FFF | 0x3FFFull << 16 | 0x3FFFull << 32 | 7ull << 49 | 3ull << 62;
  if ((bits & ~kUsed) != 0) fault("wgmma: the descriptor has bits outside its fields");
  if (swizzle_bytes == 0 && base_offset != 0) fault("wgmma: a base offset without a swizzle");
}

uint32_t MatrixDescriptor::unit_address(uint32_t mn, uint32_t k, bool mn_major) const {
  uint32_t address = start;
  if (!mn_major && swizzle_bytes == 0) {
    address += mn % 8 * 16 + mn / 8 * stride + k * leading;
  } else if (!mn_major) {
    if (start % swizzle_bytes + 32 > swizzle_bytes) fault("wgmma: a K-major operand crosses the width of its swizzle");
    address += mn % 8 * swizzle_bytes + mn / 8 * stride + k * 16;
  } else if (swizzle_bytes == 0) {
    address += mn * stride + k % 8 * 16 + k / 8 * leading;
  } else {
    const uint32_t units = swizzle_bytes / 16;
    address += mn % units * 16 + mn / units * leading + k % 8 * swizzle_bytes + k / 8 * stride;
  }
  return swizzled(address, swizzle_bytes, base_offset);
}

}  // namespace simt
