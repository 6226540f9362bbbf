// FlashAttention-3's forward (Shah et al. 2024) without its exchange of turns: a block handles 128 queries of a head,
// 64 in each of two warpgroups, and all keys that they see, 128 at a time. The keys come from the last ones, which the
// diagonal crosses, down to the first, so that only the first step masks. While a warpgroup turns the scores of one
// step into probabilities, the tensor cores multiply the probabilities of the step before by its values; in between
// they work for the other warpgroup.
//
// FLOPs and bytes are those of attention_mma_forward.cu: 4 D for each of T^2 / 2 pairs of query and key, and a fraction
// of 128 / T more for the tiles on the diagonal; keys and values come from L2 once for every 128 queries.
#include "kernels/cuda/hopper/attention_tiles.cuh"

namespace gptmoe::cuda::hopper {
namespace {

constexpr int kKeys = kRows;  // per step: the diagonal crosses one step only
template <int kD>
constexpr int kStages = 256 / kD;

template <int kD>
struct Shared {
  HeadTile<kBox, kD> queries[kConsumers];
  HeadTile<kKeys, kD> keys[kStages<kD>], values[kStages<kD>];
  int starts[kRows];
  Mbarrier queries_full;
  Ring<kStages<kD>> key_ring, value_ring;
};

// A block's work. Step n handles the keys from first_query - n * kKeys on.
struct Work {
  int head, first_query;
  int steps;
};

// Loads what a block reads, in one thread. A step's keys and values are loaded as soon as their stages are free.
template <int kD>
class Loader {
 public:
  __device__ Loader(Shared<kD>& shared, const CUtensorMap& qkv, const AttentionShape& shape, const Work& work)
      : shared_(shared), qkv_(qkv), shape_(shape), work_(work), keys_(shared.key_ring), values_(shared.value_ring) {}

  __device__ void load_queries() {
    mbarrier_arrive_expect(&shared_.queries_full, sizeof shared_.queries);
    for (int i = 0; i < kConsumers; ++i)
      load(shared_.queries[i], qkv_, query_place(shape_, work_.head), work_.first_query + i * kBox,
           &shared_.queries_full);
  }
  // Each loads those of the next step, if there is one.
  __device__ void load_keys() {
    load_next(keys_, next_keys_, shared_.keys, key_place(shape_, work_.head / shape_.group));
  }
  __device__ void load_values() {
    load_next(values_, next_values_, shared_.values, value_place(shape_, work_.head / shape_.group));
  }

 private:
  using StageRing = Ring<kStages<kD>>;

  __device__ void load_next(Walk<StageRing>& walk, int& next, HeadTile<kKeys, kD> (&tiles)[kStages<kD>],
                            HeadPlace head) {
    if (next == work_.steps) return;
    walk.wait_empty();
    mbarrier_arrive_expect(walk.full(), sizeof tiles[0]);
    load(tiles[walk.stage()], qkv_, head, work_.first_query - kKeys * next++, walk.full());
    walk.next();
  }

  Shared<kD>& shared_;
  const CUtensorMap& qkv_;
  const AttentionShape& shape_;
  const Work& work_;
  Walk<StageRing> keys_, values_;
  int next_keys_ = 0, next_values_ = 0;
};

// Computes a warpgroup's rows of out and lse.
template <int kD, bool kDocuments>
__device__ void attend(Shared<kD>& shared, const CUtensorMap& qkv, const AttentionShape& shape,
                       const AttentionForward<bf16>& tensors, const Work& work, int warp) {
  const int consumer = warp * kWarp / kWarpgroup, warp_row = warp * 16, warp_query = work.first_query + warp_row;
  const HiddenByStarts<kDocuments, 16> hidden(shared.starts + warp_row);
  const float slope = shape.scale * kLog2E;
  float scores[1][kKeys / 8][4], out[1][kD / 8][4] = {};
  LeftFragments<kKeys> probs;
  RunningSoftmax<1> softmax;
  Walk keys(shared.key_ring), values(shared.value_ring);
  const auto start_scores = [&] {
    keys.wait_full();
    wgmma_fence();
    multiply_rows<kKeys, kD>(scores, shared.queries[consumer], shared.keys[keys.stage()]);
    wgmma_commit();
    keys.next();
  };
  const auto start_out = [&] {
    values.wait_full();
    add_product<kKeys, kD>(out, probs, shared.values[values.stage()]);
    wgmma_commit();
    values.next();
  };
  const auto hide_documents = [&](int first_key) {
    if (hidden.some_from(first_key))
      mask<1, kKeys>(scores, [&](int query, int key) { return hidden(query, first_key + key); });
  };

  const bool loads = warp == 0 && elect_one();
  Loader<kD> loader(shared, qkv, shape, work);
  if (loads) {
    loader.load_queries();
    for (int i = 0; i < kStages<kD>; ++i) loader.load_keys(), loader.load_values();
  }
  __syncwarp();
  mbarrier_wait(&shared.queries_full, 0);
  start_scores();
  wgmma_wait<0>();
  keys.release_previous();
  mask<1, kKeys>(scores, [&](int query, int key) { return key > warp_row + query; });
  hide_documents(work.first_query);
  softmax.raise(scores, slope);
  softmax.exponentiate(scores, slope);
  round_product<kKeys>(probs, scores);
  GPTMOE_NO_UNROLL
  for (int n = 1; n < work.steps; ++n) {
    start_scores();
    start_out();  // of the step before
    if (loads) {
      loader.load_keys();
      if (n > 1) loader.load_values();  // the values of the step before are in use
    }
    __syncwarp();
    wgmma_wait<1>();
    keys.release_previous();
    hide_documents(work.first_query - n * kKeys);
    const bool raised = softmax.raise(scores, slope);
    softmax.exponentiate(scores, slope);
    wgmma_wait<0>();
    values.release_previous();
    if (raised) softmax.correct(out);
    round_product<kKeys>(probs, scores);
  }
  wgmma_fence();
  start_out();
  wgmma_wait<0>();

  float inverse[1][2], lse[1][2];
  softmax.finish(inverse, lse, shape.scale);
  GPTMOE_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int query = warp_query + half * 8 + lane_index() / 4;
    if (lane_index() % 4 == 0 && query < shape.T) tensors.lse[int64_t{work.head} * shape.T + query] = lse[0][half];
  }
  named_barrier(1 + consumer, kWarpgroup);  // no warp of the warpgroup needs its queries any more
  store_rows<kD, 1>(tensors.out + shape.out(work.head) + warp_query * shape.out_stride, shape.out_stride,
                    shape.T - warp_query, kD, shared.queries[consumer].warp_rows(warp), out, inverse);
}

template <int kD, bool kDocuments>
__device__ void run_block(const CUtensorMap& qkv, const AttentionShape& shape, const AttentionSchedule& schedule,
                          const AttentionForward<bf16>& tensors) {
  auto& shared = *shared_memory<Shared<kD>>();
  const auto [head, rank] = schedule.work(blockIdx.x);
  const int tile = schedule.last_rank() - rank, first_query = tile * kRows;
  const int first_tile = (kDocuments ? shape.start(head / shape.H, first_query) : 0) / kKeys;
  const Work work{head, first_query, tile - first_tile + 1};
  const int warps = busy_warps(shape.T - first_query);
  init_barriers(warps, shared.queries_full, shared.key_ring, shared.value_ring);
  if (kDocuments) set_starts(shared.starts, shape, head / shape.H, first_query);
  __syncthreads();
  const int warp = uniform_warp_index();
  if (warp < warps) attend<kD, kDocuments>(shared, qkv, shape, tensors, work, warp);
}

template <int kD, bool kDocuments>
__global__ void __launch_bounds__(kThreads, 1)
    hopper_attention_forward_kernel(const __grid_constant__ CUtensorMap qkv, AttentionShape shape,
                                    AttentionSchedule schedule, AttentionForward<bf16> tensors) {
  if constexpr (kHasInstructions) run_block<kD, kDocuments>(qkv, shape, schedule, tensors);
}

}  // namespace

bool takes_attention(const AttentionShape& shape) { return shape.D == 64 || shape.D == 128; }

void attention_forward(const AttentionShape& shape, const AttentionForward<bf16>& tensors, cudaStream_t stream) {
  const AttentionSchedule schedule(shape.B * shape.H, ceil_div(shape.T, kRows),
                                   2 * shape.T * shape.D * static_cast<int64_t>(sizeof(bf16)) / shape.group);
  if (schedule.blocks() == 0) return;
  const CUtensorMap qkv = attention_map(tensors.qkv, shape, shape.qkv_stride);
  with_tiles(shape, [&]<int kD, bool kDocuments>(std::integral_constant<int, kD>, std::bool_constant<kDocuments>) {
    GPTMOE_LAUNCH((hopper_attention_forward_kernel<kD, kDocuments>), schedule.blocks(), kThreads, sizeof(Shared<kD>),
                  stream, qkv, shape, schedule, tensors);
  });
}

}  // namespace gptmoe::cuda::hopper
