#pragma once
#include <cstdint>

namespace gptmoe::cuda {

// How the 16-byte units of a tile in shared memory are permuted. The values are those of the descriptors of wgmma.
enum class SharedSwizzle : uint64_t { none = 0, bytes_128 = 1, bytes_64 = 2, bytes_32 = 3 };

}  // namespace gptmoe::cuda
