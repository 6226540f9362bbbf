#pragma once
// The 8-bit code of moments, the same on every backend: dynamic tree quantisation, as in Dettmers et al. (2022, arXiv
// 2110.02861), with our own choice of numbers.
//
// A block's scale is its largest magnitude. An element is stored as the fraction of the scale that its magnitude is. A
// code has kBits bits for the fraction: 7 beside a sign, which is the highest bit, or 8 without a sign. Code 0 is 0.
// The 2^p codes from 2^p on divide the decade above 10^(p - kBits) evenly, and the last of them is the decade's upper
// end. So the largest element of a block is stored exactly, and the smallest fractions above 0 are 10^(1 - kBits).
#include <cstdint>

#include "kernels/draws.h"

namespace gptmoe {

constexpr int64_t kBlockElements = 256;  // that share a scale
// A block without a larger magnitude than this is stored as zeros: its fractions could not be computed.
constexpr float kLeastScale = 0x1p-100f;
constexpr uint32_t kSignBit = 0x80;

constexpr int64_t blocks_of(int64_t count) { return (count + kBlockElements - 1) / kBlockElements; }

// 10^-n for n from 1 to 8.
GPTMOE_HOST_DEVICE constexpr float tenths(int n) {
  return n == 1   ? 1e-1f
         : n == 2 ? 1e-2f
         : n == 3 ? 1e-3f
         : n == 4 ? 1e-4f
         : n == 5 ? 1e-5f
         : n == 6 ? 1e-6f
         : n == 7 ? 1e-7f
                  : 1e-8f;
}

// The fraction that a code stands for; it increases with the code.
template <int kBits>
GPTMOE_HOST_DEVICE constexpr float fraction_of(uint32_t code) {
  const int p = (code >= 2) + (code >= 4) + (code >= 8) + (code >= 16) + (code >= 32) + (code >= 64) + (code >= 128);
  const uint32_t times_2p = 9 * code + 9 - (uint32_t{8} << p);  // from 2^p + 9 to 10 * 2^p
  return code == 0 ? 0.0f : static_cast<float>(times_2p << (7 - p)) * (0x1p-7f * tenths(kBits - p));
}

// The code for the magnitude `size`, at most `scale`, in a block whose scale is at least kLeastScale. A size between
// two codes gets one of them: the larger one with a probability equal to the size's distance from the smaller one, as a
// share of the distance between the two. `draw` is in [0, 1). So the mean is the size. A size that a code stands for
// gets that code. `inverse` is near 1 / scale. `fraction` is fraction_of<kBits>(), or looks it up.
template <int kBits, typename Real, typename Fraction>
GPTMOE_HOST_DEVICE constexpr uint32_t code_of(Real size, Real scale, Real inverse, float draw, Fraction fraction) {
  constexpr int kLast = (1 << kBits) - 1;
  const Real ratio = size * inverse;
  float in_decade = ratio < Real{1} ? static_cast<float>(ratio) : 1.0f;
  int p = kBits - 1;
  for (int i = 1; i < kBits; ++i) {
    const bool below = in_decade <= 0.1f;
    in_decade = below ? 10.0f * in_decade : in_decade;
    p -= below ? 1 : 0;
  }
  // Near the largest code whose fraction is not above the size; exact comparisons correct it by one where needed.
  const int near = (1 << p) - 1 + static_cast<int>((in_decade - 0.1f) * (static_cast<float>(1 << p) * (1.0f / 0.9f)));
  const int guess = near < kLast ? near : kLast;
  const auto size_of = [=](int code) { return static_cast<Real>(fraction(static_cast<uint32_t>(code))) * scale; };
  const int above = guess < kLast ? guess + 1 : kLast;
  const int lower = size_of(guess) > size ? guess - 1 : size_of(above) <= size ? above : guess;
  const int upper = lower < kLast ? lower + 1 : kLast;
  const Real at_lower = size_of(lower), gap = size_of(upper) - at_lower;
  const bool up = at_lower != size && size - at_lower > static_cast<Real>(draw) * gap;
  return static_cast<uint32_t>(up ? upper : lower);
}

// The code of an element of either kind. The code of a number without a sign is 0 only if the number is: a second
// moment that fell to 0 would make its weight jump.
template <bool kHasSign, typename Real, typename Fraction>
GPTMOE_HOST_DEVICE constexpr uint8_t element_code(Real x, Real scale, Real inverse, float draw, Fraction fraction) {
  if constexpr (kHasSign) {
    const uint32_t code = code_of<7>(x < 0 ? -x : x, scale, inverse, draw, fraction);
    return static_cast<uint8_t>(x < 0 ? code | kSignBit : code);
  } else {
    const uint32_t code = code_of<8>(x, scale, inverse, draw, fraction);
    return static_cast<uint8_t>(code == 0 && x > 0 ? 1 : code);
  }
}

// The fraction of an element's code, with its sign.
template <bool kHasSign>
GPTMOE_HOST_DEVICE constexpr float element_fraction(uint8_t code) {
  if constexpr (kHasSign) {
    const float fraction = fraction_of<7>(code & (kSignBit - 1));
    return code & kSignBit ? -fraction : fraction;
  } else {
    return fraction_of<8>(code);
  }
}

}  // namespace gptmoe
