#pragma once
// The random draw of a sampling op for one token and round, the same on every backend.
#include <cstdint>

#ifdef __CUDACC__
#define GPTMOE_HOST_DEVICE __host__ __device__
#else
#define GPTMOE_HOST_DEVICE
#endif

namespace gptmoe {

// Two draws, from the first two words of Philox4x32-10 (base/rng.h) under sampler_2's key. The counter is {lower half
// of the token's index, its upper half, round, 0}.
struct Draws {
  float uniform;     // in [0, 1), a multiple of 2^-24, so exact in float
  bool one_in_four;  // with probability 1/4
};

GPTMOE_HOST_DEVICE constexpr Draws draws_from(uint32_t word0, uint32_t word1) {
  return {static_cast<float>(word0 >> 8) * 0x1.0p-24f, word1 < 0x40000000u};
}

}  // namespace gptmoe
