// A radix sort that starts with the least significant digit. Digits have up to 9 bits, so vocabularies up to 2^18 take
// two passes. A pass counts the digits of each tile. Then every block computes from the counts of all tiles where its
// own elements go. The result is always the same: no floats are added, and the counts do not depend on the order of the
// atomic additions.
#include <algorithm>
#include <bit>

#include "kernels/cuda/common.cuh"
#include "kernels/cuda/token_sort.h"
#include "kernels/cuda/warps.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kMaxDigitBits = 9, kMaxBins = 1 << kMaxDigitBits;
constexpr int kWarps = 8, kThreads = kWarps * kWarp;
constexpr int64_t kMaxTiles = 64, kMinTile = 1024;

// Elements of a tile: a multiple of kThreads, so that the warps' shares are whole rounds of 32.
int64_t tile_size(int64_t N) { return std::max(kMinTile, ceil_div(ceil_div(N, kMaxTiles), kThreads) * kThreads); }

struct Digit {
  int shift, bins;
  __device__ int of(int32_t key) const { return key >> shift & (bins - 1); }
};

__global__ void count_digits_kernel(int32_t* counts, const int32_t* keys, int64_t N, int64_t tile, Digit digit) {
  auto* bins = shared_memory<int32_t>();
  for (int d = static_cast<int>(threadIdx.x); d < digit.bins; d += kThreads) bins[d] = 0;
  __syncthreads();
  const int64_t begin = blockIdx.x * tile, end = begin + tile < N ? begin + tile : N;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) atomicAdd(&bins[digit.of(keys[i])], 1);
  __syncthreads();
  for (int d = static_cast<int>(threadIdx.x); d < digit.bins; d += kThreads)
    counts[blockIdx.x * digit.bins + d] = bins[d];
}

struct ScatterShared {
  int32_t starts[kWarps][kMaxBins];  // where each warp's next element with a digit goes
  int32_t totals[kMaxBins];
};

// Each warp owns a run of the tile's elements and walks it in order, twice: to count, then to place.
__global__ void scatter_kernel(int32_t* keys_out, int32_t* places_out, const int32_t* keys, const int32_t* places,
                               const int32_t* counts, int64_t N, int64_t tile, Digit digit) {
  auto& shared = *shared_memory<ScatterShared>();
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  const int64_t share = tile / kWarps, begin = blockIdx.x * tile + warp * share;
  const int64_t end = begin + share < N ? begin + share : N;
  int32_t* starts = shared.starts[warp];

  for (int d = lane; d < digit.bins; d += kWarp) starts[d] = 0;
  __syncwarp();
  for (int64_t i = begin + lane; i < end; i += kWarp) atomicAdd(&starts[digit.of(keys[i])], 1);

  // totals holds the counts of all tiles, then their exclusive scan. `before` holds the counts of the earlier tiles.
  int32_t before[kMaxBins / kThreads];
  for (int j = 0; j < kMaxBins / kThreads; ++j) {
    const int d = thread + j * kThreads;
    int32_t total = 0;
    before[j] = 0;
    if (d >= digit.bins) continue;
    for (unsigned other = 0; other < gridDim.x; ++other) {
      const int32_t count = counts[other * digit.bins + d];
      if (other < blockIdx.x) before[j] += count;
      total += count;
    }
    shared.totals[d] = total;
  }
  __syncthreads();
  if (warp == 0) {
    int32_t carry = 0;
    for (int first = 0; first < digit.bins; first += kWarp) {
      const int d = first + lane;
      const int32_t own = d < digit.bins ? shared.totals[d] : 0;
      const int32_t sum = warp_inclusive_scan(own);
      if (d < digit.bins) shared.totals[d] = carry + sum - own;
      carry += __shfl_sync(kAllLanes, sum, kWarp - 1);
    }
  }
  __syncthreads();
  for (int j = 0; j < kMaxBins / kThreads; ++j) {
    const int d = thread + j * kThreads;
    if (d >= digit.bins) continue;
    int32_t at = shared.totals[d] + before[j];
    for (int w = 0; w < kWarps; ++w) {
      const int32_t count = shared.starts[w][d];
      shared.starts[w][d] = at;
      at += count;
    }
  }
  __syncthreads();

  for (int64_t round = begin; round < end; round += kWarp) {
    const int64_t i = round + lane;
    const int32_t key = i < end ? keys[i] : 0;
    // Lanes past the end share a digit that no other lane has.
    const int d = i < end ? digit.of(key) : digit.bins;
    const unsigned equal = __match_any_sync(kAllLanes, d), earlier = equal & ((1u << lane) - 1);
    const int64_t to = i < end ? starts[d] + __popc(earlier) : 0;
    __syncwarp();
    if (i < end) {
      if (earlier == 0) starts[d] += __popc(equal);
      keys_out[to] = key;
      places_out[to] = places ? places[i] : static_cast<int32_t>(i);
    }
    __syncwarp();
  }
}

}  // namespace

int64_t token_sort_words(int64_t N) { return kMaxTiles * kMaxBins + 4 * N; }

SortedTokens sort_tokens(cudaStream_t stream, int32_t* workspace, const int32_t* tokens, int64_t N, int64_t V) {
  GPTMOE_CHECK(N < (int64_t{1} << 31), N, " tokens");
  const int bits = std::max(1, static_cast<int>(std::bit_width(static_cast<uint64_t>(V - 1))));
  const int passes = ceil_div(bits, kMaxDigitBits), digit_bits = ceil_div(bits, passes);
  const int64_t tile = tile_size(N);
  const auto tiles = static_cast<unsigned>(ceil_div(N, tile));
  int32_t *const counts = workspace, *const buffers = workspace + kMaxTiles * kMaxBins;
  const int32_t *keys = tokens, *places = nullptr;
  for (int pass = 0; pass < passes; ++pass) {
    const Digit digit{pass * digit_bits, 1 << digit_bits};
    int32_t *keys_out = buffers + pass % 2 * 2 * N, *places_out = keys_out + N;
    GPTMOE_LAUNCH(count_digits_kernel, tiles, kThreads, kMaxBins * sizeof(int32_t), stream, counts, keys, N, tile,
                  digit);
    GPTMOE_LAUNCH(scatter_kernel, tiles, kThreads, sizeof(ScatterShared), stream, keys_out, places_out, keys, places,
                  counts, N, tile, digit);
    keys = keys_out;
    places = places_out;
  }
  return {keys, places};
}

}  // namespace gptmoe::cuda
