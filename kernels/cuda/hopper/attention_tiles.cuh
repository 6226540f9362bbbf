#pragma once
// Tiles in shared memory and the products of a warpgroup with them, for the attention kernels for Hopper.
//
// A tile consists of boxes of 64 rows and 64 columns (128 bytes), as bulk copies write them with the swizzle of 128
// bytes. wgmma reads a tile in both orders: rows as its left or right operand for products of rows, and as the right
// operand whose rows are summed over.
//
// A warpgroup computes 64 rows of a product, each of its warps 16. The results have the layout of attention_mma.cuh's
// accumulators with kM = 1.
#include "kernels/cuda/attention_mma.cuh"
#include "kernels/cuda/hopper/attention.h"
#include "kernels/cuda/hopper/ring.cuh"
#include "kernels/cuda/hopper/tensor_maps.h"
#include "kernels/cuda/hopper/wgmma.cuh"

namespace gptmoe::cuda::hopper {

constexpr int kBox = 64;  // rows and columns
constexpr uint32_t kBoxRowBytes = kBox * sizeof(bf16);

// Two warpgroups multiply, and a thread of the first warp loads for both. If a ninth warp loaded instead, one quarter
// of the multiprocessor would have three warps, and a thread could have 168 registers only, which is too few.
constexpr int kConsumers = 2, kThreads = kConsumers * kWarpgroup;
constexpr int kRows = kConsumers * kBox;  // of a block

template <int kTileRows, int kD>
struct HeadTile {
  alignas(1024) bf16 columns[kD / kBox][kTileRows * kBox];

  // Memory for the results of a warp of the warpgroup that owns a tile of 64 rows, once it needs them no more.
  __device__ bf16* warp_rows(int warp) { return reinterpret_cast<bf16*>(columns) + warp % 4 * 16 * kD; }
};

// A map of a tensor (B, T, `width`) for load().
inline CUtensorMap attention_map(const bf16* tensor, const AttentionShape& shape, int64_t width) {
  const int64_t row = width * static_cast<int64_t>(sizeof(bf16));
  return tensor_map(tensor, {width, shape.T, shape.B}, {row, shape.T * row}, {kBox, kBox, 1}, SharedSwizzle::bytes_128);
}

// Where a head's columns begin in a token's row, and its sequence.
struct HeadPlace {
  int column, sequence;
};
__device__ inline HeadPlace query_place(const AttentionShape& s, int u) { return {u % s.H * s.D, u / s.H}; }
__device__ inline HeadPlace key_place(const AttentionShape& s, int v) { return {(s.H + v % s.G) * s.D, v / s.G}; }
__device__ inline HeadPlace value_place(const AttentionShape& s, int v) {
  return {key_place(s, v).column + static_cast<int>(s.values), v / s.G};
}

// How many warps have work if `rows` rows are left: those of whole warpgroups.
__device__ inline int busy_warps(int rows) { return min(kConsumers, ceil_div(rows, kBox)) * kWarpgroup / kWarp; }

// Prepares the barriers of a block in which `warps` warps multiply. The block synchronises before it uses them.
template <typename... Rings>
__device__ void init_barriers(int warps, Mbarrier& rows_full, Rings&... rings) {
  if (threadIdx.x != 0) return;
  mbarrier_init(&rows_full, 1);
  (rings.init(1, static_cast<uint32_t>(warps)), ...);
}

// Sets the first keys that a block's queries see. The block synchronises before it reads them.
__device__ inline void set_starts(int (&starts)[kRows], const AttentionShape& shape, int sequence, int first_query) {
  const int query = static_cast<int>(threadIdx.x);
  if (query < kRows) starts[query] = shape.start(sequence, first_query + query);
}

// Starts copying a head's rows from `row` on. Rows after the sequence's last one become zeros.
template <int kTileRows, int kD>
__device__ void load(HeadTile<kTileRows, kD>& tile, const CUtensorMap& map, HeadPlace head, int row,
                     Mbarrier* barrier) {
  for (int c = 0; c < kD / kBox; ++c)
    for (int r = 0; r < kTileRows; r += kBox)
      tensor_load(tile.columns[c] + r * kBox, map, head.column + c * kBox, row + r, head.sequence, barrier);
}

// The descriptor of an operand that begins `bytes` bytes later.
__device__ inline uint64_t advance(uint64_t descriptor, uint32_t bytes) { return descriptor + bytes / 16; }

template <int kN>
__device__ float (&sums(float (&product)[1][kN / 8][4]))[kN / 2] {
  return reinterpret_cast<float(&)[kN / 2]>(product);
}

// product = left * transposed(right): each element is a dot product of two rows.
template <int kN, int kD>
__device__ void multiply_rows(float (&product)[1][kN / 8][4], const HeadTile<kBox, kD>& left,
                              const HeadTile<kN, kD>& right) {
  constexpr uint32_t kEightRows = 8 * kBoxRowBytes, kStep = 16 * sizeof(bf16);
  GPTMOE_UNROLL
  for (int c = 0; c < kD / kBox; ++c) {
    const uint64_t a = matrix_descriptor(left.columns[c], 0, kEightRows, SharedSwizzle::bytes_128);
    const uint64_t b = matrix_descriptor(right.columns[c], 0, kEightRows, SharedSwizzle::bytes_128);
    GPTMOE_UNROLL
    for (uint32_t k = 0; k < kBoxRowBytes; k += kStep)
      wgmma<kN, Major::k, Major::k>(sums<kN>(product), advance(a, k), advance(b, k), c > 0 || k > 0);
  }
}

// A left operand that is itself a product, rounded to bf16: 64 rows, kK columns.
template <int kK>
using LeftFragments = Bf16x2[kK / 16][4];

template <int kK>
__device__ void round_product(LeftFragments<kK>& left, const float (&product)[1][kK / 8][4]) {
  GPTMOE_UNROLL
  for (int k = 0; k < kK / 16; ++k)
    for (int e = 0; e < 4; ++e) {
      const float(&from)[4] = product[0][2 * k + e / 2];
      left[k][e] = pack_bf16(from[e % 2 * 2], from[e % 2 * 2 + 1]);
    }
}

// product += left * right.
template <int kK, int kD>
__device__ void add_product(float (&product)[1][kD / 8][4], const LeftFragments<kK>& left,
                            const HeadTile<kK, kD>& right) {
  const uint64_t b =
      matrix_descriptor(right.columns[0], sizeof right.columns[0], 8 * kBoxRowBytes, SharedSwizzle::bytes_128);
  GPTMOE_UNROLL
  for (int k = 0; k < kK / 16; ++k)
    wgmma<kD, Major::mn>(sums<kD>(product), left[k], advance(b, static_cast<uint32_t>(k) * 16 * kBoxRowBytes), true);
}

// The warp's index in the block, in a form that shows the compiler that all lanes have the same one.
__device__ inline int uniform_warp_index() { return __shfl_sync(kAllLanes, warp_index(), 0); }

}  // namespace gptmoe::cuda::hopper
