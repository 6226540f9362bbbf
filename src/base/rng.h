#pragma once
// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011).
// Value i of a stream is a pure function of (seed, stream, i). So there is no state to save, and any number of threads
// can compute values in any order.
#include <array>
#include <cstdint>
#include <string_view>

namespace gptmoe {

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

class Rng {
 public:
  Rng(uint64_t seed, uint64_t stream) : seed_(seed), stream_(stream) {}

  uint64_t bits(uint64_t index) const;
  // A number in [0, 1) with 53 random bits.
  double uniform(uint64_t index) const;
  // A whole number in [0, bound), without bias beyond 2^-64 * bound.
  uint64_t below(uint64_t index, uint64_t bound) const;
  // A standard normal number (Box-Muller).
  double normal(uint64_t index) const;

 private:
  uint64_t seed_;
  uint64_t stream_;
};

// FNV-1a, 64 bits. It turns names into streams, and bytes into checksums.
uint64_t hash_bytes(std::string_view bytes, uint64_t basis = 14695981039346656037ull);

}  // namespace gptmoe
