#pragma once
// A random order that is not stored.
#include <cstdint>

namespace gptmoe {

// The position of `index`, 0 <= index < count, in a pseudo-random permutation of 0..count-1. The permutation depends on
// count, seed and epoch only. It is a Feistel network (Luby and Rackoff, 1988) over the smallest even number of bits
// that covers count, with Philox as its round function. A result outside the range goes through the network again
// (cycle walking, Black and Rogaway, 2002). On average, an index passes through it fewer than four times.
int64_t shuffled_index(int64_t index, int64_t count, uint64_t seed, uint64_t epoch);

}  // namespace gptmoe
