// FlashAttention-2's backward (Dao 2023) without atomics, so it gives the same bits every time. With
// P = exp(scale * S - lse) and delta = <dout, out>:
//   dV = P^T dO,  dS = P * (dO V^T - delta),  dQ = scale * dS K,  dK = scale * dS^T Q.
// Two kernels both compute S and dO V^T: one handles a tile of keys at a time, for dK and dV, the other a tile of
// queries, for dQ. That takes seven matrix products instead of five. But it needs no f32 copy of dQ to which blocks add
// one after another (8 D bytes of traffic per query for every 128 keys). Each kernel computes S with the rows that it
// owns as the left operand; the first kernel owns keys, so it computes S^T. P and dS are then already in the registers
// where the next product needs them.
//
// FLOPs: 14 D for each of T^2 / 2 pairs of query and key. The usual count is 10 D. Tiles on the diagonal are computed
// in full, which adds a fraction of about 32 / T to the FLOPs.
#include "kernels/cuda/attention_mma.cuh"

namespace gptmoe::cuda {
namespace {

// ---- dK and dV ---------------------------------------------------------------------------------------------------

template <int kD>
struct KeyTiles {
  static constexpr int kM = kD <= 64 ? 2 : 1, kRows = kAttentionWarps * kM * 16;
  static constexpr int kQueries = 64, kN = 32;  // queries per tile in shared memory, and per product

  bf16 keys[kRows * kD], values[kRows * kD];
  bf16 queries[2][kQueries * kD], douts[2][kQueries * kD];
  float lse[2][kQueries], delta[2][kQueries];
  int starts[2][kQueries];
};

template <int kD, bool kDocuments>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    attention_mma_backward_keys_kernel(AttentionShape shape, AttentionSchedule schedule,
                                       AttentionBackward<bf16> tensors) {
  using Tiles = KeyTiles<kD>;
  constexpr int kM = Tiles::kM, kQueries = Tiles::kQueries;
  constexpr int kN = kDocuments && kD <= 64 ? 16 : Tiles::kN;  // with 32, registers would spill on sm_80
  auto& shared = *shared_memory<Tiles>();
  const auto [head, tile] = schedule.work(blockIdx.x);  // the first keys have the most queries after them
  const int T = shape.T, first_key = tile * Tiles::kRows, sequence = head / shape.G;
  const int warp_row = warp_index() * kM * 16, warp_key = first_key + warp_row;
  const int64_t stride = shape.qkv_stride, out_stride = shape.out_stride;
  const float slope = shape.scale * kLog2E;

  // The queries that see the tile, for each head of the group in turn. Documents that start after the tile see none of
  // its keys.
  int end = T;
  if (kDocuments) {
    end = first_key;
    while (end < T && shape.start(sequence, end) < first_key + Tiles::kRows) end += kQueries;
  }
  const int first_head = head * shape.group;
  const bf16 *all_queries = tensors.qkv + shape.query(first_head), *all_douts = tensors.dout + shape.out(first_head);
  const float* all_stats = (threadIdx.x < kQueries ? tensors.lse : tensors.delta) + int64_t{first_head} * T;
  float* const stats = (threadIdx.x < kQueries ? shared.lse : shared.delta)[0];
  int h = 0, query = first_key, stage = 0;
  const auto load = [&] {
    load_tile<kD, kQueries>(shared.queries[stage], all_queries + (h * shape.D + query * stride), stride, T - query,
                            shape.D);
    load_tile<kD, kQueries>(shared.douts[stage], all_douts + (h * shape.D + query * out_stride), out_stride, T - query,
                            shape.D);
    const int at = static_cast<int>(threadIdx.x) % kQueries;
    cp_async_4(stats + stage * kQueries + at, all_stats + (int64_t{h} * T + query + at), query + at < T);
    if (kDocuments && threadIdx.x < kQueries)
      cp_async_4(shared.starts[stage] + at, shape.starts + (int64_t{sequence} * T + min(query + at, T - 1)));
    cp_async_commit();
  };
  static_assert(kAttentionThreads == 2 * kQueries && Tiles::kRows % kQueries == 0);
  const int64_t key_offset = shape.key(head) + first_key * stride, value_offset = key_offset + shape.values;
  load_tile<kD, Tiles::kRows>(shared.keys, tensors.qkv + key_offset, stride, T - first_key, shape.D);
  load_tile<kD, Tiles::kRows>(shared.values, tensors.qkv + value_offset, stride, T - first_key, shape.D);
  load();

  const LeftRows<kD, kM, false> keys(shared.keys, warp_row), values(shared.values, warp_row);
  float dkeys[kM][kD / 8][4] = {}, dvalues[kM][kD / 8][4] = {};
  while (h < shape.group) {
    const int first_query = query;
    const int* const starts = shared.starts[stage];
    const bf16 *queries = shared.queries[stage], *douts = shared.douts[stage];
    const float *lse = shared.lse[stage] + lane_index() % 4 * 2, *delta = shared.delta[stage] + lane_index() % 4 * 2;
    stage ^= 1, query += kQueries;
    if (query >= end) ++h, query = first_key;
    cp_async_wait<0>();
    __syncthreads();  // these queries are loaded, and all threads are done with the previous ones
    if (h < shape.group) load();
    GPTMOE_NO_UNROLL
    for (int row = 0; row < kQueries; row += kN) {
      const int ahead = warp_key - first_query - row;  // from the first query to the warp's first key
      const HiddenByStarts<kDocuments, kN> hidden(starts + row);
      if (ahead >= kN || warp_key >= T || first_query + row >= T || hidden.all_before(warp_key + kM * 16)) continue;
      float probs[kM][kN / 8][4], dscores[kM][kN / 8][4];
      multiply_by_rows<kD, kM, kN>(probs, keys, queries, row);
      if (ahead + kM * 16 > 1) mask<kM, kN>(probs, [&](int key, int query) { return ahead + key > query; });
      if (hidden.some_from(warp_key))
        mask<kM, kN>(probs, [&](int key, int query) { return hidden(query, warp_key + key); });
      // Queries after the last are zeros, and so are their dout and delta: they add nothing.
      exponentiate(probs, slope,
                   [&](int, int n, int e) { return Pack<float, 2>::load(lse + row + n * 8)[e % 2] * kLog2E; });
      multiply_add<kD, kM, kN>(dvalues, LeftProduct<kM, kN>(probs), douts, row);
      multiply_by_rows<kD, kM, kN>(dscores, values, douts, row);
      to_score_gradients(dscores, probs,
                         [&](int, int n, int e) { return Pack<float, 2>::load(delta + row + n * 8)[e % 2]; });
      multiply_add<kD, kM, kN>(dkeys, LeftProduct<kM, kN>(dscores), queries, row);
    }
  }
  if (warp_key >= T) return;
  float one[kM][2], scale[kM][2];
  GPTMOE_UNROLL
  for (int i = 0; i < kM; ++i)
    for (int half = 0; half < 2; ++half) one[i][half] = 1, scale[i][half] = shape.scale;
  store_rows<kD>(tensors.dqkv + key_offset + warp_row * stride, stride, T - warp_key, shape.D,
                 shared.keys + warp_row * kD, dkeys, scale);
  store_rows<kD>(tensors.dqkv + value_offset + warp_row * stride, stride, T - warp_key, shape.D,
                 shared.values + warp_row * kD, dvalues, one);
}

// ---- dQ ----------------------------------------------------------------------------------------------------------

template <int kD>
struct QueryTiles {
  static constexpr int kM = 2, kRows = kAttentionWarps * kM * 16;
  static constexpr int kKeys = kD <= 64 ? 64 : 32, kN = 32;  // keys per tile in shared memory, and per product

  bf16 queries[kRows * kD], douts[kRows * kD];
  bf16 keys[2][kKeys * kD], values[2][kKeys * kD];
  int starts[kRows];
};

template <int kD, bool kDocuments>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    attention_mma_backward_queries_kernel(AttentionShape shape, AttentionSchedule schedule,
                                          AttentionBackward<bf16> tensors) {
  using Tiles = QueryTiles<kD>;
  constexpr int kM = Tiles::kM, kN = Tiles::kN, kKeys = Tiles::kKeys;
  auto& shared = *shared_memory<Tiles>();
  const auto [head, rank] = schedule.work(blockIdx.x);
  const int T = shape.T;
  const int first_query = (schedule.last_rank() - rank) * Tiles::kRows;
  const int warp_row = warp_index() * kM * 16, warp_query = first_query + warp_row;
  const int tiles = ceil_div(min(first_query + Tiles::kRows, T), kKeys);
  const HiddenByStarts<kDocuments, kM * 16> hidden(shared.starts + warp_row);
  const int first_tile = (kDocuments ? shape.start(head / shape.H, first_query) : 0) / kKeys;
  const int64_t stride = shape.qkv_stride, out_stride = shape.out_stride;
  const float slope = shape.scale * kLog2E;

  const bf16* key_rows = tensors.qkv + shape.key(head / shape.group);
  const auto load = [&](int tile) {
    const bf16* first = key_rows + tile * kKeys * stride;
    load_tile<kD, kKeys>(shared.keys[tile % 2], first, stride, T - tile * kKeys, shape.D);
    load_tile<kD, kKeys>(shared.values[tile % 2], first + shape.values, stride, T - tile * kKeys, shape.D);
    cp_async_commit();
  };
  const int64_t query_offset = shape.query(head) + first_query * stride;
  load_tile<kD, Tiles::kRows>(shared.queries, tensors.qkv + query_offset, stride, T - first_query, shape.D);
  load_tile<kD, Tiles::kRows>(shared.douts, tensors.dout + shape.out(head) + first_query * out_stride, out_stride,
                              T - first_query, shape.D);
  load(first_tile);
  if (kDocuments) shared.starts[threadIdx.x] = shape.start(head / shape.H, first_query + static_cast<int>(threadIdx.x));
  static_assert(Tiles::kRows == kAttentionThreads);

  float lse[kM][2], delta[kM][2];
  GPTMOE_UNROLL
  for (int i = 0; i < kM; ++i)
    for (int half = 0; half < 2; ++half) {
      const int query = warp_query + i * 16 + half * 8 + lane_index() / 4;
      lse[i][half] = query < T ? tensors.lse[int64_t{head} * T + query] * kLog2E : 0.0f;
      delta[i][half] = query < T ? tensors.delta[int64_t{head} * T + query] : 0.0f;
    }
  LeftRows<kD, kM, (kD <= 64)> queries(shared.queries, warp_row), douts(shared.douts, warp_row);
  float dqueries[kM][kD / 8][4] = {};
  for (int tile = first_tile; tile < tiles; ++tile) {
    cp_async_wait<0>();
    __syncthreads();  // this tile is loaded, and all threads are done with the previous one
    if (tile + 1 < tiles) load(tile + 1);
    if (tile == first_tile) queries.fetch(), douts.fetch();
    for (int row = 0; row < kKeys; row += kN) {
      const int first_key = tile * kKeys + row, ahead = first_key - warp_query;  // from the warp's first query
      if (ahead >= kM * 16 || warp_query >= T || hidden.all_before(first_key + kN)) continue;
      float probs[kM][kN / 8][4], dscores[kM][kN / 8][4];
      multiply_by_rows<kD, kM, kN>(probs, queries, shared.keys[tile % 2], row);
      if (ahead + kN > 1) mask<kM, kN>(probs, [&](int query, int key) { return ahead + key > query; });
      if (hidden.some_from(first_key))
        mask<kM, kN>(probs, [&](int query, int key) { return hidden(query, first_key + key); });
      exponentiate(probs, slope, [&](int i, int, int e) { return lse[i][e / 2]; });
      multiply_by_rows<kD, kM, kN>(dscores, douts, shared.values[tile % 2], row);
      to_score_gradients(dscores, probs, [&](int i, int, int e) { return delta[i][e / 2]; });
      multiply_add<kD, kM, kN>(dqueries, LeftProduct<kM, kN>(dscores), shared.keys[tile % 2], row);
    }
  }
  if (warp_query >= T) return;
  float scale[kM][2];
  GPTMOE_UNROLL
  for (int i = 0; i < kM; ++i)
    for (int half = 0; half < 2; ++half) scale[i][half] = shape.scale;
  store_rows<kD>(tensors.dqkv + query_offset + warp_row * stride, stride, T - warp_query, shape.D,
                 shared.queries + warp_row * kD, dqueries, scale);
}

}  // namespace

void attention_mma_backward(const AttentionShape& shape, const AttentionBackward<bf16>& tensors, cudaStream_t stream) {
  with_tiles(shape, [&]<int kD, bool kDocuments>(std::integral_constant<int, kD>, std::bool_constant<kDocuments>) {
    const int64_t row_bytes = int64_t{shape.T} * shape.D * static_cast<int64_t>(sizeof(bf16));
    const AttentionSchedule by_keys(shape.B * shape.G, ceil_div(shape.T, KeyTiles<kD>::kRows),
                                    2 * row_bytes * shape.group);
    GPTMOE_LAUNCH((attention_mma_backward_keys_kernel<kD, kDocuments>), by_keys.blocks(), kAttentionThreads,
                  sizeof(KeyTiles<kD>), stream, shape, by_keys, tensors);
    const AttentionSchedule by_queries(shape.B * shape.H, ceil_div(shape.T, QueryTiles<kD>::kRows),
                                       2 * row_bytes / shape.group);
    GPTMOE_LAUNCH((attention_mma_backward_queries_kernel<kD, kDocuments>), by_queries.blocks(), kAttentionThreads,
                  sizeof(QueryTiles<kD>), stream, shape, by_queries, tensors);
  });
}

}  // namespace gptmoe::cuda
