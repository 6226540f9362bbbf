#pragma once
#include <bit>
#include <cstdint>

namespace gptmoe {

// The value of an IEEE 754 half: 1 bit of sign, 5 of exponent, 10 of mantissa. A float holds every half exactly.
inline float f16_value(uint16_t bits) {
  const uint32_t sign = uint32_t{bits & 0x8000u} << 16, exponent = bits >> 10 & 0x1Fu, mantissa = bits & 0x3FFu;
  if (exponent == 0) {  // zero or subnormal
    const float value = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -value : value;
  }
  const uint32_t wide = exponent == 0x1F ? 0xFFu : exponent + 112;  // infinity and NaN keep all bits set
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

}  // namespace gptmoe
