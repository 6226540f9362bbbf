#pragma once
// Random draws of ops, the same on every backend.
#include <cstdint>

#ifdef __CUDACC__
#define GPTMOE_HOST_DEVICE __host__ __device__
#else
#define GPTMOE_HOST_DEVICE
#endif

namespace gptmoe {

// The draws of a sampling op for one token and round, from the first two words of Philox4x32-10 (base/rng.h) with the
// sampler's key. The counter is {lower half of the token's index, its upper half, round, 0}.
struct Draws {
  float uniform;     // in [0, 1), a multiple of 2^-24, so exact in float
  bool one_in_four;  // true with probability 1/4
};

GPTMOE_HOST_DEVICE constexpr Draws draws_from(uint32_t word0, uint32_t word1) {
  return {static_cast<float>(word0 >> 8) * 0x1.0p-24f, word1 < 0x40000000u};
}

// The 32-bit finaliser of MurmurHash3: every bit of the result depends on every bit of x.
GPTMOE_HOST_DEVICE constexpr uint32_t mixed_bits(uint32_t x) {
  x = (x ^ x >> 16) * 0x85EBCA6Bu;
  x = (x ^ x >> 13) * 0xC2B2AE35u;
  return x ^ x >> 16;
}

// The key of random rounding for a step and a stream.
GPTMOE_HOST_DEVICE constexpr uint32_t rounding_key(uint32_t step, uint32_t stream) {
  return mixed_bits(mixed_bits(step) + 0x9E3779B9u * (stream + 1));
}

// 32 random bits for element number `element`.
GPTMOE_HOST_DEVICE constexpr uint32_t rounding_bits(uint64_t element, uint32_t key) {
  const uint32_t low = static_cast<uint32_t>(element), high = static_cast<uint32_t>(element >> 32);
  return mixed_bits(mixed_bits(low ^ key) + high);
}

// The draw for element number `element`: in [0, 1), a multiple of 2^-16.
GPTMOE_HOST_DEVICE constexpr float rounding_draw(uint64_t element, uint32_t key) {
  return static_cast<float>(rounding_bits(element, key) >> 16) * 0x1.0p-16f;
}

// The bits of the bf16 that element number `element` is rounded to, from the bits of the float. The lower 16 bits of
// the float say how far it is from the smaller neighbour; adding a draw of 16 bits decides whether they carry. NaN
// stays NaN: a carry could turn it into a zero.
GPTMOE_HOST_DEVICE constexpr uint16_t randomly_rounded(uint32_t bits, uint64_t element, uint32_t key) {
  const uint32_t draw = rounding_bits(element, key) >> 16;
  const bool nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  return static_cast<uint16_t>(nan ? bits >> 16 | 0x40u : (bits + draw) >> 16);
}

}  // namespace gptmoe
