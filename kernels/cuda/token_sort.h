#pragma once
// A stable sort of a micro-batch's tokens, on the device.
#include <cuda_runtime.h>

#include <cstdint>

namespace gptmoe::cuda {

// keys: the tokens in ascending order. places: the position of each of these tokens in the micro-batch, ascending among
// equal tokens. Both are in the workspace.
struct SortedTokens {
  const int32_t *keys, *places;
};

// The number of 32-bit words of workspace that sort_tokens() needs for N tokens.
int64_t token_sort_words(int64_t N);
// Sorts N tokens, which are in [0, V).
SortedTokens sort_tokens(cudaStream_t stream, int32_t* workspace, const int32_t* tokens, int64_t N, int64_t V);

}  // namespace gptmoe::cuda
