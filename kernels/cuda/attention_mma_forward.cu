// FlashAttention-2's forward (Dao 2023): a block handles 128 queries of a head and all keys that they see, 64 at a time
// (32 if D > 64), with two stages of keys and values in shared memory. Each of its 4 warps has 32 rows, so that a
// fragment of keys or values that is read once serves two products.
//
// FLOPs: 4 D for each of T^2 / 2 pairs of query and key. Each warp computes its tiles on the diagonal in full, which
// adds a fraction of 64 / T (32 / T if D > 64) to the FLOPs. Bytes from L2: keys and values once for every 128 queries,
// that is 128 FLOPs per byte.
#include "kernels/cuda/attention_mma.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kRows = 128, kM = kRows / kAttentionWarps / 16;
// Keys per step. The registers have to hold their scores in addition to the output.
template <int kD>
constexpr int kKeys = kD <= 64 ? 64 : 32;

template <int kD>
struct Shared {
  bf16 queries[kRows * kD], keys[2][kKeys<kD> * kD], values[2][kKeys<kD> * kD];
  int starts[kRows];
};

template <int kD, bool kDocuments>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    attention_mma_forward_kernel(AttentionShape shape, AttentionSchedule schedule, AttentionForward<bf16> tensors) {
  constexpr int kTile = kKeys<kD>;
  auto& shared = *shared_memory<Shared<kD>>();
  const auto [head, rank] = schedule.work(blockIdx.x);
  const int first_query = (schedule.last_rank() - rank) * kRows, T = shape.T;
  const int warp_row = warp_index() * kM * 16, warp_query = first_query + warp_row;
  const int tiles = ceil_div(min(first_query + kRows, T), kTile);
  const HiddenByStarts<kDocuments, kM * 16> hidden(shared.starts + warp_row);
  const int first_tile = (kDocuments ? shape.start(head / shape.H, first_query) : 0) / kTile;
  const int64_t stride = shape.qkv_stride;
  const bf16* keys = tensors.qkv + shape.key(head / shape.group);
  const float slope = shape.scale * kLog2E;

  const auto load = [&](int tile) {
    const bf16* first = keys + tile * kTile * stride;
    load_tile<kD, kTile>(shared.keys[tile % 2], first, stride, T - tile * kTile, shape.D);
    load_tile<kD, kTile>(shared.values[tile % 2], first + shape.values, stride, T - tile * kTile, shape.D);
    cp_async_commit();
  };
  load_tile<kD, kRows>(shared.queries, tensors.qkv + shape.query(head) + first_query * stride, stride, T - first_query,
                       shape.D);
  load(first_tile);
  if (kDocuments) shared.starts[threadIdx.x] = shape.start(head / shape.H, first_query + static_cast<int>(threadIdx.x));
  static_assert(kRows == kAttentionThreads);

  LeftRows<kD, kM, (kD <= 64)> queries(shared.queries, warp_row);
  float out[kM][kD / 8][4] = {};
  RunningSoftmax<kM> softmax;
  for (int tile = first_tile; tile < tiles; ++tile) {
    cp_async_wait<0>();
    __syncthreads();  // this tile is loaded, and all threads are done with the previous one
    if (tile + 1 < tiles) load(tile + 1);
    if (tile == first_tile) queries.fetch();
    const int ahead = tile * kTile - warp_query;  // from the warp's first query to the first key
    if (ahead >= kM * 16 || warp_query >= T || hidden.all_before(tile * kTile + kTile)) continue;
    float scores[kM][kTile / 8][4];
    multiply_by_rows<kD, kM, kTile>(scores, queries, shared.keys[tile % 2], 0);
    if (ahead + kTile > 1) mask<kM, kTile>(scores, [&](int query, int key) { return ahead + key > query; });
    if (hidden.some_from(tile * kTile))
      mask<kM, kTile>(scores, [&](int query, int key) { return hidden(query, tile * kTile + key); });
    if (softmax.raise(scores, slope)) softmax.correct(out);
    softmax.exponentiate(scores, slope);
    multiply_add<kD, kM, kTile>(out, LeftProduct<kM, kTile>(scores), shared.values[tile % 2], 0);
  }
  if (warp_query >= T) return;

  float inverse[kM][2], lse[kM][2];
  softmax.finish(inverse, lse, shape.scale);
  GPTMOE_UNROLL
  for (int i = 0; i < kM; ++i)
    for (int half = 0; half < 2; ++half) {
      const int query = warp_query + i * 16 + half * 8 + lane_index() / 4;
      if (lane_index() % 4 == 0 && query < T) tensors.lse[int64_t{head} * T + query] = lse[i][half];
    }
  store_rows<kD>(tensors.out + shape.out(head) + warp_query * shape.out_stride, shape.out_stride, T - warp_query,
                 shape.D, shared.queries + warp_row * kD, out, inverse);
}

}  // namespace

void attention_mma_forward(const AttentionShape& shape, const AttentionForward<bf16>& tensors, cudaStream_t stream) {
  with_tiles(shape, [&]<int kD, bool kDocuments>(std::integral_constant<int, kD>, std::bool_constant<kDocuments>) {
    const AttentionSchedule schedule(shape.B * shape.H, ceil_div(shape.T, kRows),
                                     2 * shape.T * shape.D * static_cast<int64_t>(sizeof(bf16)) / shape.group);
    GPTMOE_LAUNCH((attention_mma_forward_kernel<kD, kDocuments>), schedule.blocks(), kAttentionThreads,
                  sizeof(Shared<kD>), stream, shape, schedule, tensors);
  });
}

}  // namespace gptmoe::cuda
