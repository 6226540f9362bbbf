// The backward of attention_mma_backward.cu with Hopper's products: the same formulas, and the same two kernels, each
// of which computes S and dO V^T. A block has 128 keys or 128 queries, 64 in each of two warpgroups, and the first warp
// loads for both. P and dS go from the registers of one product into the next, as left operands. While a
// warpgroup computes with its scores, the tensor cores work for the other one.
#include "kernels/cuda/hopper/attention_tiles.cuh"

namespace gptmoe::cuda::hopper {
namespace {

// The tensor maps of qkv and dout.
struct Maps {
  CUtensorMap qkv, dout;
};

// ---- dK and dV ---------------------------------------------------------------------------------------------------

template <int kD>
struct KeyTiles {
  static constexpr int kQueries = kD <= 64 ? 128 : 64;  // per step: as many as the registers can hold scores for
  static constexpr int kStages = 4;

  struct Step {
    HeadTile<kQueries, kD> queries, douts;
    float lse[kQueries], delta[kQueries];  // lse: to base 2
    int starts[kQueries];
  };
  HeadTile<kBox, kD> keys[kConsumers], values[kConsumers];
  Step steps[kStages];
  Mbarrier rows_full;
  Ring<kStages> ring;
};

// A block's keys, and the queries that see some of them.
struct KeyWork {
  int head, sequence;  // key head
  int first_key, end;  // the queries from first_key to end
};

// Loads what a block reads, in one warp. A step's operands are loaded as soon as their stage is free.
template <int kD, bool kDocuments>
class KeyLoader {
 public:
  __device__ KeyLoader(KeyTiles<kD>& shared, const Maps& maps, const AttentionShape& shape,
                       const AttentionBackward<bf16>& tensors, const KeyWork& work)
      : shared_(shared),
        maps_(maps),
        shape_(shape),
        tensors_(tensors),
        work_(work),
        walk_(shared.ring),
        elected_(elect_one()),
        query_(work.first_key) {}

  __device__ void load_rows() {
    if (!elected_) return;
    mbarrier_arrive_expect(&shared_.rows_full, sizeof shared_.keys + sizeof shared_.values);
    for (int i = 0; i < kConsumers; ++i) {
      const int key = work_.first_key + i * kBox;
      load(shared_.keys[i], maps_.qkv, key_place(shape_, work_.head), key, &shared_.rows_full);
      load(shared_.values[i], maps_.qkv, value_place(shape_, work_.head), key, &shared_.rows_full);
    }
  }
  // Loads the next step, if there is one.
  __device__ void load_next() {
    if (group_ == shape_.group) return;
    const int head = work_.head * shape_.group + group_;
    auto& step = shared_.steps[walk_.stage()];
    walk_.wait_empty();
    GPTMOE_UNROLL
    for (int i = 0; i < kQueries; i += kWarp) {
      const int at = i + lane_index(), query = query_ + at;
      const int64_t stats = int64_t{head} * shape_.T + query;
      step.lse[at] = query < shape_.T ? tensors_.lse[stats] * kLog2E : 0.0f;
      step.delta[at] = query < shape_.T ? tensors_.delta[stats] : 0.0f;
      if (kDocuments) step.starts[at] = shape_.start(work_.sequence, query);
    }
    __syncwarp();  // the elected lane's arrival announces what all lanes wrote
    if (elected_) {
      mbarrier_arrive_expect(walk_.full(), sizeof step.queries + sizeof step.douts);
      load(step.queries, maps_.qkv, query_place(shape_, head), query_, walk_.full());
      load(step.douts, maps_.dout, query_place(shape_, head), query_, walk_.full());
    }
    walk_.next();
    query_ += kQueries;
    if (query_ >= work_.end) ++group_, query_ = work_.first_key;
  }

 private:
  static constexpr int kQueries = KeyTiles<kD>::kQueries;

  KeyTiles<kD>& shared_;
  const Maps& maps_;
  const AttentionShape& shape_;
  const AttentionBackward<bf16>& tensors_;
  const KeyWork& work_;
  Walk<Ring<KeyTiles<kD>::kStages>> walk_;
  bool elected_;
  int group_ = 0, query_;  // the next step
};

// Computes a warpgroup's rows of dK and dV.
template <int kD, bool kDocuments>
__device__ void multiply_steps(KeyTiles<kD>& shared, const Maps& maps, const AttentionShape& shape,
                               const AttentionBackward<bf16>& tensors, const KeyWork& work, int warp) {
  constexpr int kQueries = KeyTiles<kD>::kQueries;
  const int consumer = warp * kWarp / kWarpgroup, group_key = work.first_key + consumer * kBox;
  const int warp_key = work.first_key + warp * 16;
  const float slope = shape.scale * kLog2E;
  float dkeys[1][kD / 8][4] = {}, dvalues[1][kD / 8][4] = {};
  KeyLoader<kD, kDocuments> loader(shared, maps, shape, tensors, work);
  if (warp == 0) {
    loader.load_rows();
    for (int i = 0; i < KeyTiles<kD>::kStages; ++i) loader.load_next();
  }
  __syncwarp();
  mbarrier_wait(&shared.rows_full, 0);
  Walk walk(shared.ring);
  int head = 0, first_query = work.first_key;
  bool first = true;
  while (head < shape.group) {
    const int ahead = warp_key - first_query;  // from the first query to the warp's first key
    const bool seen = group_key < first_query + kQueries;
    first_query += kQueries;
    if (first_query >= work.end) ++head, first_query = work.first_key;
    const auto& step = shared.steps[walk.stage()];
    walk.wait_full();
    walk.next();
    if (!seen) {  // no query of the step sees a key of the warpgroup
      walk.release_previous();
      continue;
    }
    float probs[1][kQueries / 8][4], dscores[1][kQueries / 8][4];
    wgmma_fence();
    multiply_rows<kQueries, kD>(probs, shared.keys[consumer], step.queries);
    wgmma_commit();
    multiply_rows<kQueries, kD>(dscores, shared.values[consumer], step.douts);
    wgmma_commit();
    if (warp == 0 && !first) loader.load_next();  // into the stage of the step before
    first = false;
    __syncwarp();
    wgmma_wait<1>();
    if (ahead + 16 > 1) mask<1, kQueries>(probs, [&](int key, int query) { return ahead + key > query; });
    const HiddenByStarts<kDocuments, kQueries> hidden(step.starts);
    if (hidden.some_from(warp_key))
      mask<1, kQueries>(probs, [&](int key, int query) { return hidden(query, warp_key + key); });
    // Queries after the last are zeros, and so are their dout and delta: they add nothing.
    const float *lse = step.lse + lane_index() % 4 * 2, *delta = step.delta + lane_index() % 4 * 2;
    exponentiate(probs, slope, [&](int, int n, int e) { return Pack<float, 2>::load(lse + n * 8)[e % 2]; });
    wgmma_wait<0>();
    to_score_gradients(dscores, probs, [&](int, int n, int e) { return Pack<float, 2>::load(delta + n * 8)[e % 2]; });
    LeftFragments<kQueries> left_probs, left_dscores;
    round_product<kQueries>(left_probs, probs);
    round_product<kQueries>(left_dscores, dscores);
    wgmma_fence();
    add_product<kQueries, kD>(dvalues, left_probs, step.douts);
    add_product<kQueries, kD>(dkeys, left_dscores, step.queries);
    wgmma_commit();
    wgmma_wait<0>();
    __syncwarp();  // all lanes have read lse and delta
    walk.release_previous();
  }

  const float one[1][2] = {{1, 1}}, scale[1][2] = {{shape.scale, shape.scale}};
  const int64_t stride = shape.qkv_stride, offset = shape.key(work.head) + warp_key * stride;
  named_barrier(1 + consumer, kWarpgroup);  // no warp of the warpgroup needs its keys and values any more
  store_rows<kD, 1>(tensors.dqkv + offset, stride, shape.T - warp_key, kD, shared.keys[consumer].warp_rows(warp), dkeys,
                    scale);
  store_rows<kD, 1>(tensors.dqkv + offset + shape.values, stride, shape.T - warp_key, kD,
                    shared.values[consumer].warp_rows(warp), dvalues, one);
}

template <int kD, bool kDocuments>
__device__ void run_block_of_keys(const Maps& maps, const AttentionShape& shape, const AttentionSchedule& schedule,
                                  const AttentionBackward<bf16>& tensors) {
  using Tiles = KeyTiles<kD>;
  auto& shared = *shared_memory<Tiles>();
  const auto [head, tile] = schedule.work(blockIdx.x);  // the first keys have the most queries after them
  KeyWork work{head, head / shape.G, tile * kRows, shape.T};
  if (kDocuments) {  // those that start after the tile see none of its keys
    work.end = work.first_key;
    while (work.end < shape.T && shape.start(work.sequence, work.end) < work.first_key + kRows)
      work.end += Tiles::kQueries;
  }
  const int warps = busy_warps(shape.T - work.first_key);
  init_barriers(warps, shared.rows_full, shared.ring);
  __syncthreads();
  const int warp = uniform_warp_index();
  if (warp < warps) multiply_steps<kD, kDocuments>(shared, maps, shape, tensors, work, warp);
}

template <int kD, bool kDocuments>
__global__ void __launch_bounds__(kThreads, 1)
    hopper_attention_backward_keys_kernel(const __grid_constant__ Maps maps, AttentionShape shape,
                                          AttentionSchedule schedule, AttentionBackward<bf16> tensors) {
  if constexpr (kHasInstructions) run_block_of_keys<kD, kDocuments>(maps, shape, schedule, tensors);
}

// ---- dQ ----------------------------------------------------------------------------------------------------------

template <int kD>
struct QueryTiles {
  static constexpr int kKeys = 128, kStages = 256 / kD;

  HeadTile<kBox, kD> queries[kConsumers], douts[kConsumers];
  HeadTile<kKeys, kD> keys[kStages], values[kStages];
  int starts[kRows];
  Mbarrier rows_full;
  Ring<kStages> ring;
};

// A block's queries, and the tiles of keys that they see.
struct QueryWork {
  int head, first_query;
  int first_tile, end;
};

// Loads what a block reads, in one thread. A step's keys and values are loaded as soon as their stage is free.
template <int kD>
class QueryLoader {
 public:
  __device__ QueryLoader(QueryTiles<kD>& shared, const Maps& maps, const AttentionShape& shape, const QueryWork& work)
      : shared_(shared), maps_(maps), shape_(shape), work_(work), walk_(shared.ring), tile_(work.first_tile) {}

  __device__ void load_rows() {
    mbarrier_arrive_expect(&shared_.rows_full, sizeof shared_.queries + sizeof shared_.douts);
    const HeadPlace rows = query_place(shape_, work_.head);
    for (int i = 0; i < kConsumers; ++i) {
      load(shared_.queries[i], maps_.qkv, rows, work_.first_query + i * kBox, &shared_.rows_full);
      load(shared_.douts[i], maps_.dout, rows, work_.first_query + i * kBox, &shared_.rows_full);
    }
  }
  // Loads the next step, if there is one.
  __device__ void load_next() {
    if (tile_ == work_.end) return;
    const int head = work_.head / shape_.group, key = tile_++ * QueryTiles<kD>::kKeys;
    walk_.wait_empty();
    mbarrier_arrive_expect(walk_.full(), sizeof shared_.keys[0] + sizeof shared_.values[0]);
    load(shared_.keys[walk_.stage()], maps_.qkv, key_place(shape_, head), key, walk_.full());
    load(shared_.values[walk_.stage()], maps_.qkv, value_place(shape_, head), key, walk_.full());
    walk_.next();
  }

 private:
  QueryTiles<kD>& shared_;
  const Maps& maps_;
  const AttentionShape& shape_;
  const QueryWork& work_;
  Walk<Ring<QueryTiles<kD>::kStages>> walk_;
  int tile_;  // the next step
};

// Computes a warpgroup's rows of dQ.
template <int kD, bool kDocuments>
__device__ void multiply_steps(QueryTiles<kD>& shared, const Maps& maps, const AttentionShape& shape,
                               const AttentionBackward<bf16>& tensors, const QueryWork& work, int warp) {
  constexpr int kKeys = QueryTiles<kD>::kKeys;
  const int consumer = warp * kWarp / kWarpgroup, warp_row = warp * 16, warp_query = work.first_query + warp_row;
  const HiddenByStarts<kDocuments, 16> hidden(shared.starts + warp_row);
  const float slope = shape.scale * kLog2E;
  float lse[2], delta[2];
  GPTMOE_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int query = warp_query + half * 8 + lane_index() / 4;
    const int64_t at = int64_t{work.head} * shape.T + query;
    lse[half] = query < shape.T ? tensors.lse[at] * kLog2E : 0.0f;
    delta[half] = query < shape.T ? tensors.delta[at] : 0.0f;
  }
  float dqueries[1][kD / 8][4] = {};
  const bool loads = warp == 0 && elect_one();
  QueryLoader<kD> loader(shared, maps, shape, work);
  if (loads) {
    loader.load_rows();
    for (int i = 0; i < QueryTiles<kD>::kStages; ++i) loader.load_next();
  }
  __syncwarp();
  mbarrier_wait(&shared.rows_full, 0);
  Walk walk(shared.ring);
  GPTMOE_NO_UNROLL
  for (int tile = work.first_tile; tile < work.end; ++tile) {
    const auto &keys = shared.keys[walk.stage()], &values = shared.values[walk.stage()];
    walk.wait_full();
    walk.next();
    float probs[1][kKeys / 8][4], dscores[1][kKeys / 8][4];
    wgmma_fence();
    multiply_rows<kKeys, kD>(probs, shared.queries[consumer], keys);
    wgmma_commit();
    multiply_rows<kKeys, kD>(dscores, shared.douts[consumer], values);
    wgmma_commit();
    if (loads && tile > work.first_tile) loader.load_next();  // into the stage of the step before
    __syncwarp();
    wgmma_wait<1>();
    const int first_key = tile * kKeys, ahead = first_key - warp_query;  // from the warp's first query to it
    if (ahead + kKeys > 1) mask<1, kKeys>(probs, [&](int query, int key) { return ahead + key > query; });
    if (hidden.some_from(first_key))
      mask<1, kKeys>(probs, [&](int query, int key) { return hidden(query, first_key + key); });
    exponentiate(probs, slope, [&](int, int, int e) { return lse[e / 2]; });
    wgmma_wait<0>();
    to_score_gradients(dscores, probs, [&](int, int, int e) { return delta[e / 2]; });
    LeftFragments<kKeys> left;
    round_product<kKeys>(left, dscores);
    wgmma_fence();
    add_product<kKeys, kD>(dqueries, left, keys);
    wgmma_commit();
    wgmma_wait<0>();
    walk.release_previous();
  }

  const float scale[1][2] = {{shape.scale, shape.scale}};
  named_barrier(1 + consumer, kWarpgroup);  // no warp of the warpgroup needs its queries any more
  store_rows<kD, 1>(tensors.dqkv + shape.query(work.head) + warp_query * shape.qkv_stride, shape.qkv_stride,
                    shape.T - warp_query, kD, shared.queries[consumer].warp_rows(warp), dqueries, scale);
}

template <int kD, bool kDocuments>
__device__ void run_block_of_queries(const Maps& maps, const AttentionShape& shape, const AttentionSchedule& schedule,
                                     const AttentionBackward<bf16>& tensors) {
  using Tiles = QueryTiles<kD>;
  auto& shared = *shared_memory<Tiles>();
  const auto [head, rank] = schedule.work(blockIdx.x);
  const int first_query = (schedule.last_rank() - rank) * kRows, sequence = head / shape.H;
  const QueryWork work{head, first_query, (kDocuments ? shape.start(sequence, first_query) : 0) / Tiles::kKeys,
                       ceil_div(min(first_query + kRows, shape.T), Tiles::kKeys)};
  const int warps = busy_warps(shape.T - first_query);
  init_barriers(warps, shared.rows_full, shared.ring);
  if (kDocuments) set_starts(shared.starts, shape, sequence, first_query);
  __syncthreads();
  const int warp = uniform_warp_index();
  if (warp < warps) multiply_steps<kD, kDocuments>(shared, maps, shape, tensors, work, warp);
}

template <int kD, bool kDocuments>
__global__ void __launch_bounds__(kThreads, 1)
    hopper_attention_backward_queries_kernel(const __grid_constant__ Maps maps, AttentionShape shape,
                                             AttentionSchedule schedule, AttentionBackward<bf16> tensors) {
  if constexpr (kHasInstructions) run_block_of_queries<kD, kDocuments>(maps, shape, schedule, tensors);
}

}  // namespace

void attention_backward(const AttentionShape& shape, const AttentionBackward<bf16>& tensors, cudaStream_t stream) {
  const int64_t tiles = ceil_div(shape.T, kRows);
  const int64_t row_bytes = int64_t{shape.T} * shape.D * static_cast<int64_t>(sizeof(bf16));
  const AttentionSchedule by_keys(shape.B * shape.G, tiles, 2 * row_bytes * shape.group);
  const AttentionSchedule by_queries(shape.B * shape.H, tiles, 2 * row_bytes / shape.group);
  if (by_queries.blocks() == 0) return;
  const Maps maps{attention_map(tensors.qkv, shape, shape.qkv_stride),
                  attention_map(tensors.dout, shape, shape.out_stride)};
  with_tiles(shape, [&]<int kD, bool kDocuments>(std::integral_constant<int, kD>, std::bool_constant<kDocuments>) {
    GPTMOE_LAUNCH((hopper_attention_backward_keys_kernel<kD, kDocuments>), by_keys.blocks(), kThreads,
                  sizeof(KeyTiles<kD>), stream, maps, shape, by_keys, tensors);
    GPTMOE_LAUNCH((hopper_attention_backward_queries_kernel<kD, kDocuments>), by_queries.blocks(), kThreads,
                  sizeof(QueryTiles<kD>), stream, maps, shape, by_queries, tensors);
  });
}

}  // namespace gptmoe::cuda::hopper
