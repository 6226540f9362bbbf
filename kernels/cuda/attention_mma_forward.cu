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

// The softmax's running state for a lane's rows: out = sum of exp2(slope * (score - max)) * value, not yet divided by
// sum. `max` is the largest score so far or slightly less: as long as no score exceeds it by more than kSlack powers of
// two, nothing overflows and `out` needs no rescaling.
template <int kD>
struct Running {
  float out[kM][kD / 8][4], max[kM][2], sum[kM][2];

  __device__ Running() {
    GPTMOE_UNROLL
    for (int i = 0; i < kM; ++i) {
      GPTMOE_UNROLL
      for (int n = 0; n < kD / 8; ++n)
        for (int e = 0; e < 4; ++e) out[i][n][e] = 0;
      GPTMOE_UNROLL
      for (int half = 0; half < 2; ++half) max[i][half] = kLowestScore, sum[i][half] = 0;
    }
  }

  // Raises `max` if `scores` require it.
  __device__ void raise(const float (&scores)[kM][kKeys<kD> / 8][4], float slope) {
    constexpr float kSlack = 8;
    float largest[kM][2];
    bool some = false;
    GPTMOE_UNROLL
    for (int i = 0; i < kM; ++i)
      for (int half = 0; half < 2; ++half) {
        float x = -INFINITY;
        GPTMOE_UNROLL
        for (int n = 0; n < kKeys<kD> / 8; ++n) x = fmaxf(x, fmaxf(scores[i][n][2 * half], scores[i][n][2 * half + 1]));
        x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 1));
        x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, 2));
        const bool more = (x - max[i][half]) * slope > kSlack;
        largest[i][half] = more ? x : max[i][half];
        some |= more;
      }
    if (!__any_sync(kAllLanes, some)) return;
    GPTMOE_UNROLL
    for (int i = 0; i < kM; ++i)
      for (int half = 0; half < 2; ++half) {
        const float correction = exp2_approximate((max[i][half] - largest[i][half]) * slope);
        max[i][half] = largest[i][half];
        sum[i][half] *= correction;
        GPTMOE_UNROLL
        for (int n = 0; n < kD / 8; ++n) out[i][n][2 * half] *= correction, out[i][n][2 * half + 1] *= correction;
      }
  }

  // Turns scores into probabilities, not yet divided by the sum.
  __device__ void exponentiate(float (&scores)[kM][kKeys<kD> / 8][4], float slope) {
    GPTMOE_UNROLL
    for (int i = 0; i < kM; ++i)
      for (int half = 0; half < 2; ++half) {
        const float offset = -max[i][half] * slope;
        GPTMOE_UNROLL
        for (int n = 0; n < kKeys<kD> / 8; ++n)
          for (int e = 2 * half; e < 2 * half + 2; ++e) {
            scores[i][n][e] = exp2_approximate(fmaf(scores[i][n][e], slope, offset));
            sum[i][half] += scores[i][n][e];
          }
      }
  }
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
  Running<kD> running;
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
    running.raise(scores, slope);
    running.exponentiate(scores, slope);
    multiply_add<kD, kM, kTile>(running.out, LeftProduct<kM, kTile>(scores), shared.values[tile % 2], 0);
  }
  if (warp_query >= T) return;

  float inverse[kM][2];
  GPTMOE_UNROLL
  for (int i = 0; i < kM; ++i)
    for (int half = 0; half < 2; ++half) {
      float sum = running.sum[i][half];
      sum += __shfl_xor_sync(kAllLanes, sum, 1);
      sum += __shfl_xor_sync(kAllLanes, sum, 2);
      inverse[i][half] = 1.0f / sum;
      const int query = warp_query + i * 16 + half * 8 + lane_index() / 4;
      if (lane_index() % 4 == 0 && query < T)
        tensors.lse[int64_t{head} * T + query] = running.max[i][half] * shape.scale + logf(sum);
    }
  store_rows<kD>(tensors.out + shape.out(head) + warp_query * shape.out_stride, shape.out_stride, T - warp_query,
                 shape.D, shared.queries + warp_row * kD, running.out, inverse);
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
