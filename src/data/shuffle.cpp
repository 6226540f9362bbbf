#include "data/shuffle.h"

#include <bit>

#include "base/check.h"
#include "base/rng.h"

namespace gptmoe {
namespace {

constexpr uint64_t kRounds = 6;

uint64_t feistel(uint64_t value, int half_bits, const Rng& rng) {
  const uint64_t mask = (uint64_t{1} << half_bits) - 1;
  uint64_t left = value >> half_bits, right = value & mask;
  for (uint64_t round = 0; round < kRounds; ++round) {
    const uint64_t mixed = left ^ (rng.bits(round << 32 | right) & mask);
    left = right;
    right = mixed;
  }
  return left << half_bits | right;
}

}  // namespace

int64_t shuffled_index(int64_t index, int64_t count, uint64_t seed, uint64_t epoch) {
  GPTMOE_CHECK(index >= 0 && index < count, "index ", index, " of ", count);
  if (count == 1) return 0;
  const int half_bits = (std::bit_width(static_cast<uint64_t>(count - 1)) + 1) / 2;
  const Rng rng(seed, hash_bytes("data.shuffle") ^ epoch);
  auto value = static_cast<uint64_t>(index);
  do {
    value = feistel(value, half_bits, rng);
  } while (value >= static_cast<uint64_t>(count));
  return static_cast<int64_t>(value);
}

}  // namespace gptmoe
