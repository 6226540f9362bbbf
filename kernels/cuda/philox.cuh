#pragma once
// base/rng.h's Philox4x32-10, for the device.
#include "kernels/cuda/common.cuh"

namespace gptmoe::cuda {

// The first two of the four words of counter {low, high, third, 0} under the key.
struct PhiloxWords {
  uint32_t first, second;
};
__device__ inline PhiloxWords philox(uint64_t counter, uint32_t third, uint64_t key) {
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32), c2 = third, c3 = 0;
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c0, b = uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<uint32_t>(b >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(b);
    c2 = static_cast<uint32_t>(a >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(a);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {c0, c1};
}

}  // namespace gptmoe::cuda
