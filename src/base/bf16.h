#pragma once
#include <bit>
#include <cstdint>

namespace gptmoe {

// A bf16 is the upper half of a float.
inline float bf16_value(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// Rounds to nearest, ties to even; NaN stays NaN. It has no branches, so loops that call it vectorise.
inline uint16_t bf16_bits(float value) {
  const auto wide = std::bit_cast<uint32_t>(value);
  const uint32_t nearest = (wide + 0x7FFF + (wide >> 16 & 1)) >> 16, quiet = wide >> 16 | 0x40;
  return static_cast<uint16_t>((wide & 0x7FFFFFFFu) > 0x7F800000u ? quiet : nearest);
}

}  // namespace gptmoe
