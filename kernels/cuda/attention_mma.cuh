#pragma once
// Matrix products of tiles in shared memory on tensor cores, for the attention kernels.
//
// A tile consists of rows of kD bf16, kD = 64 or 128 (narrower heads are padded with zeros). The 16-byte chunks of a
// row are permuted: chunk c of row r is at c ^ (r % 8). So chunks that are accessed at the same time are in different
// banks: for ldmatrix, the same chunk of eight rows; for cp.async, eight neighbouring chunks of a row.
//
// A warp computes kM * 16 rows of a product. Accumulators are [kM][columns / 8][4] in the layout of mma_bf16's D.
#include "kernels/cuda/attention_softmax.cuh"
#include "kernels/cuda/warps.cuh"

namespace gptmoe::cuda {

constexpr int kAttentionThreads = 128, kAttentionWarps = kAttentionThreads / kWarp;

// The index, in a tile, of the first element of a chunk.
template <int kD>
__device__ int chunk_at(int row, int chunk) {
  return row * kD + (chunk ^ (row & 7)) * 8;
}

template <int kD>
constexpr int kRowBytes = 2 * kD;

// For ldmatrix: the address where a lane finds chunk `odd` (0 or 1) of `row` of a tile. Chunk 2 k + odd of the row
// is at this address ^ (32 k). The same chunk of row + 8 n is 8 n row lengths after it. Tiles start at multiples of a
// row's bytes.
template <int kD>
__device__ SharedAddress lane_address(const bf16* tile, int row, int odd) {
  return shared_address(tile) + row * kRowBytes<kD> + (odd ^ (row & 7)) * 16;
}

// Starts copying kRows rows of `width` elements; rows from `rows` on and columns from `width` on become zeros.
template <int kD, int kRows>
__device__ void load_tile(bf16* tile, const bf16* from, int64_t stride, int rows, int width) {
  constexpr int kChunks = kD / 8, kStep = kAttentionThreads / kChunks;
  const int first = static_cast<int>(threadIdx.x) / kChunks, chunk = static_cast<int>(threadIdx.x) % kChunks;
  const bool inside = chunk * 8 < width;
  static_assert(kStep % 8 == 0, "the same permutation in every step");
  const SharedAddress to = shared_address(tile + chunk_at<kD>(first, chunk));
  from += first * stride + chunk * 8;
  GPTMOE_UNROLL
  for (int i = 0; i < kRows / kStep; ++i, from += kStep * stride)
    cp_async_16(to + i * kStep * kRowBytes<kD>, from, inside && first + i * kStep < rows);
}

// Multiplies kM * 16 rows of a product by `scale`, row by row, and writes them to memory. On their way, the rows pass
// through the warp's own rows of `tile`, which no other warp uses by then.
template <int kD, int kM>
__device__ void store_rows(bf16* to, int64_t stride, int rows, int width, bf16* tile,
                           const float (&product)[kM][kD / 8][4], const float (&scale)[kM][2]) {
  const int lane = lane_index(), g = lane / 4, t = lane % 4;
  __syncwarp();
  GPTMOE_UNROLL
  for (int i = 0; i < kM; ++i)
    for (int n = 0; n < kD / 8; ++n)
      for (int half = 0; half < 2; ++half) {
        Pack<bf16, 2> pair;
        pair.set(0, product[i][n][2 * half] * scale[i][half]);
        pair.set(1, product[i][n][2 * half + 1] * scale[i][half]);
        pair.store(tile + chunk_at<kD>(i * 16 + half * 8 + g, n) + 2 * t);
      }
  __syncwarp();
  constexpr int kChunks = kD / 8, kStep = kWarp / kChunks;
  const int first = lane / kChunks, chunk = lane % kChunks;
  if (chunk * 8 >= width) return;
  GPTMOE_UNROLL
  for (int row = first; row < kM * 16; row += kStep)
    if (row < rows) Pack<bf16, 8>::load(tile + chunk_at<kD>(row, chunk)).store(to + row * stride + chunk * 8);
}

// A left operand that consists of 16 kM rows of a tile, read from shared memory when needed or kept in registers.
template <int kD, int kM, bool kKept>
class LeftRows {
 public:
  __device__ LeftRows(const bf16* tile, int row)
      : address_(lane_address<kD>(tile, row + (lane_index() & 15), lane_index() >> 4)) {}
  // Call it once the tile is loaded.
  __device__ void fetch() {
    if constexpr (kKept) {
      GPTMOE_UNROLL
      for (int i = 0; i < kM; ++i)
        for (int k = 0; k < kD / 16; ++k) read(kept_[i][k], i, k);
    }
  }
  __device__ void get(uint32_t (&a)[4], int i, int k) const {
    if constexpr (kKept) {
      GPTMOE_UNROLL
      for (int e = 0; e < 4; ++e) a[e] = kept_[i][k][e];
    } else {
      read(a, i, k);
    }
  }

 private:
  __device__ void read(uint32_t (&a)[4], int i, int k) const {
    ldmatrix<false>(a, (address_ ^ 32 * k) + i * 16 * kRowBytes<kD>);
  }

  SharedAddress address_;
  uint32_t kept_[kKept ? kM : 1][kKept ? kD / 16 : 1][4];
};

// A left operand that is itself a product, rounded to bf16: 16 kM rows, kN columns.
template <int kM, int kN>
class LeftProduct {
 public:
  __device__ explicit LeftProduct(const float (&product)[kM][kN / 8][4]) {
    GPTMOE_UNROLL
    for (int i = 0; i < kM; ++i)
      for (int k = 0; k < kN / 16; ++k)
        for (int e = 0; e < 4; ++e) {
          const float(&from)[4] = product[i][2 * k + e / 2];
          packed_[i][k][e] = pack_bf16(from[e % 2 * 2], from[e % 2 * 2 + 1]);
        }
  }
  __device__ void get(uint32_t (&a)[4], int i, int k) const {
    GPTMOE_UNROLL
    for (int e = 0; e < 4; ++e) a[e] = packed_[i][k][e];
  }

 private:
  uint32_t packed_[kM][kN / 16][4];
};

// Adds `a` times the 16 columns in the registers `right` to a product: the first 8 columns to `low`, the others to
// `high`.
__device__ inline void mma_pair(float (&low)[4], float (&high)[4], const uint32_t (&a)[4], const uint32_t (&right)[4]) {
  const uint32_t first[2] = {right[0], right[1]}, second[2] = {right[2], right[3]};
  mma_bf16(low, a, first);
  mma_bf16(high, a, second);
}

// product = left * transposed(rows [row, row + kN) of tile): each element is a dot product of two rows of kD elements.
template <int kD, int kM, int kN, typename Left>
__device__ void multiply_by_rows(float (&product)[kM][kN / 8][4], const Left& left, const bf16* tile, int row) {
  const int lane = lane_index();
  const SharedAddress address = lane_address<kD>(tile, row + (lane & 7) + (lane >> 4) * 8, lane >> 3 & 1);
  GPTMOE_UNROLL
  for (int i = 0; i < kM; ++i)
    for (int n = 0; n < kN / 8; ++n)
      for (int e = 0; e < 4; ++e) product[i][n][e] = 0;
  GPTMOE_UNROLL
  for (int k = 0; k < kD / 16; ++k) {
    uint32_t a[kM][4];
    GPTMOE_UNROLL
    for (int i = 0; i < kM; ++i) left.get(a[i], i, k);
    GPTMOE_UNROLL
    for (int n = 0; n < kN / 16; ++n) {
      uint32_t b[4];
      ldmatrix<false>(b, (address ^ 32 * k) + n * 16 * kRowBytes<kD>);
      GPTMOE_UNROLL
      for (int i = 0; i < kM; ++i) mma_pair(product[i][2 * n], product[i][2 * n + 1], a[i], b);
    }
  }
}

// product += left * (rows [row, row + kK) of tile).
template <int kD, int kM, int kK, typename Left>
__device__ void multiply_add(float (&product)[kM][kD / 8][4], const Left& left, const bf16* tile, int row) {
  const SharedAddress address = lane_address<kD>(tile, row + (lane_index() & 15), lane_index() >> 4);
  GPTMOE_UNROLL
  for (int k = 0; k < kK / 16; ++k) {
    uint32_t a[kM][4];
    GPTMOE_UNROLL
    for (int i = 0; i < kM; ++i) left.get(a[i], i, k);
    GPTMOE_UNROLL
    for (int n = 0; n < kD / 16; ++n) {
      uint32_t b[4];
      ldmatrix<true>(b, (address ^ 32 * n) + k * 16 * kRowBytes<kD>);
      GPTMOE_UNROLL
      for (int i = 0; i < kM; ++i) mma_pair(product[i][2 * n], product[i][2 * n + 1], a[i], b);
    }
  }
}

// Sets a score to minus infinity where hidden(row, column) is true. Row and column count from the product's
// first element.
template <int kM, int kN, typename Hidden>
__device__ void mask(float (&scores)[kM][kN / 8][4], const Hidden& hidden) {
  const int g = lane_index() / 4, t = lane_index() % 4;
  GPTMOE_UNROLL
  for (int i = 0; i < kM; ++i)
    for (int n = 0; n < kN / 8; ++n)
      for (int e = 0; e < 4; ++e)
        if (hidden(i * 16 + e / 2 * 8 + g, n * 8 + 2 * t + e % 2)) scores[i][n][e] = -INFINITY;
}

// The keys that document starts hide from kQueries neighbouring queries: those before the start of a query's document.
// Without kDocuments, no key is hidden, and the checks cost nothing.
template <bool kDocuments, int kQueries>
class HiddenByStarts {
 public:
  // `starts`: the document starts of the queries, in shared memory.
  __device__ explicit HiddenByStarts(const int* starts) : starts_(starts) {}
  // Whether keys before `key` are hidden from all of the queries.
  __device__ bool all_before(int key) const { return kDocuments && key <= starts_[0]; }
  // Whether some keys from `key` on are hidden from some of the queries.
  __device__ bool some_from(int key) const { return kDocuments && key < starts_[kQueries - 1]; }
  // Whether the key is hidden from a query, which counts from the first one.
  __device__ bool operator()(int query, int key) const { return key < starts_[query]; }

 private:
  const int* starts_;
};

// Calls visit with two constants: kD, the row width of the tiles for these heads, and kDocuments, whether there are
// document starts.
template <typename Visit>
void with_tiles(const AttentionShape& shape, Visit visit) {
  const auto with_width = [&]<int kD>(std::integral_constant<int, kD> width) {
    if (shape.starts) return visit(width, std::true_type{});
    visit(width, std::false_type{});
  };
  if (shape.D <= 64) return with_width(std::integral_constant<int, 64>{});
  with_width(std::integral_constant<int, 128>{});
}

}  // namespace gptmoe::cuda
