// Attention in f32 arithmetic throughout: for f32 tensors, and for bf16 heads that tensor cores do not support. It
// follows the scheme of attention_mma_*.cu, with tiles of 32 queries and 32 keys in shared memory as floats. A thread
// computes 2 x 4 of a tile's 32 x 32 scores, and kD / 8 columns of 2 of the 32 output rows. The 8 threads that share
// two rows are lanes of one warp.
#include "kernels/cuda/attention.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kTile = 32, kThreads = 128;
constexpr int kLanes = 8;  // threads that share rows
// Blocks per multiprocessor, few enough that their shared memory fits and that each thread gets the registers it needs.
// The backward kernels keep more in shared memory.
template <int kD>
constexpr int kBlocks = kD <= 64    ? 4
                        : kD <= 128 ? 3
                                    : 1;
template <int kD>
constexpr int kBackwardBlocks = kBlocks<kD> == 3 ? 2 : kBlocks<kD>;
constexpr int kRows = kTile / (kThreads / kLanes), kColumns = kTile / kLanes;

// Rows have one float4 of padding: threads of a warp that read different rows then use different banks.
template <int kD>
struct alignas(16) Tile {
  static constexpr int kStride = kD + 4;
  float element[kTile * kStride];
  __device__ const float* row(int i) const { return element + i * kStride; }
  __device__ float* row(int i) { return element + i * kStride; }
};
using Scores = Tile<kTile>;

__device__ int first_row() { return static_cast<int>(threadIdx.x) / kLanes * kRows; }
__device__ int lane_of_row() { return static_cast<int>(threadIdx.x) % kLanes; }

// Loads `rows` rows, at most a tile; the other rows of the tile become zeros. So do the columns from D up to the next
// multiple of 4, since the products read those columns too.
template <int kD, typename T, int N>
__device__ void load_packs(Tile<kD>& tile, const T* from, int64_t stride, int rows, int D) {
  const int packs = ceil_div(D, 4) * 4 / N;
  for (int i = static_cast<int>(threadIdx.x); i < kTile * packs; i += kThreads) {
    const int row = i / packs, column = i % packs * N;
    Pack<T, N> pack;
    if (row < rows && column < D)
      pack = Pack<T, N>::load(from + row * stride + column);
    else
      for (int e = 0; e < N; ++e) pack.set(e, 0);
    for (int e = 0; e < N; ++e) tile.row(row)[column + e] = pack[e];
  }
}
template <int kD, typename T>
__device__ void load_tile(Tile<kD>& tile, const T* from, int64_t stride, int rows, int D) {
  constexpr int kWide = 16 / sizeof(T);
  if (D % kWide == 0 && reinterpret_cast<uintptr_t>(from) % 16 == 0)
    load_packs<kD, T, kWide>(tile, from, stride, rows, D);
  else
    load_packs<kD, T, 1>(tile, from, stride, rows, D);
}

// product[i][j] = <this thread's row i of a, row lane + 8 j of b>.
template <int kD>
__device__ void multiply_by_rows(float (&product)[kRows][kColumns], const Tile<kD>& a, const Tile<kD>& b, int D) {
  using Four = Pack<float, 4>;
  for (auto& row : product)
    for (float& x : row) x = 0;
  for (int d = 0; d < D; d += 4) {
    Four left[kRows], right[kColumns];
    GPTMOE_UNROLL
    for (int i = 0; i < kRows; ++i) left[i] = Four::load(a.row(first_row() + i) + d);
    GPTMOE_UNROLL
    for (int j = 0; j < kColumns; ++j) right[j] = Four::load(b.row(lane_of_row() + j * kLanes) + d);
    GPTMOE_UNROLL
    for (int i = 0; i < kRows; ++i)
      for (int j = 0; j < kColumns; ++j)
        for (int e = 0; e < 4; ++e) product[i][j] = fmaf(left[i][e], right[j][e], product[i][j]);
  }
}

// This thread's part of its rows of an output: columns 4 lane + 32 c to 4 lane + 32 c + 3, for each c.
template <int kD>
struct Output {
  float element[kRows][kD / 32][4] = {};

  // Adds scores * b.
  __device__ void multiply_add(const Scores& scores, const Tile<kD>& b, int D) {
    using Four = Pack<float, 4>;
    GPTMOE_NO_UNROLL
    for (int k = 0; k < kTile; k += 4) {
      Four left[kRows];
      GPTMOE_UNROLL
      for (int i = 0; i < kRows; ++i) left[i] = Four::load(scores.row(first_row() + i) + k);
      GPTMOE_UNROLL
      for (int c = 0; c < kD / 32; ++c) {
        const int column = 32 * c + 4 * lane_of_row();
        if (column >= D) continue;
        GPTMOE_UNROLL
        for (int e = 0; e < 4; ++e) {
          const auto right = Four::load(b.row(k + e) + column);
          GPTMOE_UNROLL
          for (int i = 0; i < kRows; ++i)
            for (int x = 0; x < 4; ++x) element[i][c][x] = fmaf(left[i][e], right[x], element[i][c][x]);
        }
      }
    }
  }
  __device__ void scale(int i, float by) {
    GPTMOE_UNROLL
    for (int c = 0; c < kD / 32; ++c)
      for (int x = 0; x < 4; ++x) element[i][c][x] *= by;
  }
  template <typename T>
  __device__ void store(T* to, int64_t stride, int rows, int D) const {
    GPTMOE_UNROLL
    for (int i = 0; i < kRows; ++i)
      for (int c = 0; c < kD / 32; ++c)
        for (int x = 0; x < 4; ++x) {
          const int row = first_row() + i, column = 32 * c + 4 * lane_of_row() + x;
          if (row < rows && column < D) to[row * stride + column] = from_float<T>(element[i][c][x]);
        }
  }
};

__device__ void store_scores(Scores& to, const float (&scores)[kRows][kColumns]) {
  __syncwarp();
  for (int i = 0; i < kRows; ++i)
    for (int j = 0; j < kColumns; ++j) to.row(first_row() + i)[lane_of_row() + j * kLanes] = scores[i][j];
  __syncwarp();
}

__device__ float row_sum(float x) {
  for (int bits = kLanes / 2; bits > 0; bits /= 2) x += __shfl_xor_sync(kAllLanes, x, bits);
  return x;
}
__device__ float row_max(float x) {
  for (int bits = kLanes / 2; bits > 0; bits /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, bits));
  return x;
}

// ---- Forward -----------------------------------------------------------------------------------------------------

template <int kD>
struct ForwardShared {
  Tile<kD> queries, keys, values;
  Scores probs;
};

template <typename T, int kD>
__global__ void __launch_bounds__(kThreads, kBlocks<kD>)
    attention_fma_forward_kernel(AttentionShape shape, AttentionSchedule schedule, AttentionForward<T> tensors) {
  auto& shared = *shared_memory<ForwardShared<kD>>();
  const auto [head, rank] = schedule.work(blockIdx.x);
  const int query_tile = schedule.last_rank() - rank, first_query = query_tile * kTile, rows = shape.T - first_query;
  const int64_t stride = shape.qkv_stride;
  load_tile(shared.queries, tensors.qkv + shape.query(head) + first_query * stride, stride, rows, shape.D);
  const T* keys = tensors.qkv + shape.key(head / shape.group);

  Output<kD> out;
  float max[kRows], sum[kRows];
  int start[kRows];
  for (int i = 0; i < kRows; ++i) {
    max[i] = kLowestScore, sum[i] = 0;
    start[i] = shape.start(head / shape.H, first_query + first_row() + i);
  }
  for (int tile = shape.start(head / shape.H, first_query) / kTile; tile <= query_tile; ++tile) {
    const int first = tile * kTile;
    __syncthreads();
    load_tile(shared.keys, keys + first * stride, stride, shape.T - first, shape.D);
    load_tile(shared.values, keys + shape.values + first * stride, stride, shape.T - first, shape.D);
    __syncthreads();
    float scores[kRows][kColumns];
    multiply_by_rows(scores, shared.queries, shared.keys, shape.D);
    GPTMOE_UNROLL
    for (int i = 0; i < kRows; ++i) {
      float largest = max[i];
      for (int j = 0; j < kColumns; ++j) {
        const int key = lane_of_row() + j * kLanes;
        const bool hidden = (tile == query_tile && key > first_row() + i) || first + key < start[i];
        scores[i][j] = hidden ? -INFINITY : scores[i][j] * shape.scale;
        largest = fmaxf(largest, scores[i][j]);
      }
      largest = row_max(largest);
      const float correction = expf(max[i] - largest);
      max[i] = largest;
      sum[i] *= correction;
      for (int j = 0; j < kColumns; ++j) sum[i] += scores[i][j] = expf(scores[i][j] - largest);
      out.scale(i, correction);
    }
    store_scores(shared.probs, scores);
    out.multiply_add(shared.probs, shared.values, shape.D);
  }
  GPTMOE_UNROLL
  for (int i = 0; i < kRows; ++i) {
    sum[i] = row_sum(sum[i]);
    out.scale(i, 1.0f / sum[i]);
    const int row = first_row() + i;
    if (lane_of_row() == 0 && row < rows)
      tensors.lse[int64_t{head} * shape.T + first_query + row] = max[i] + logf(sum[i]);
  }
  out.store(tensors.out + shape.out(head) + first_query * shape.out_stride, shape.out_stride, rows, shape.D);
}

// ---- Backward ----------------------------------------------------------------------------------------------------

template <int kD>
struct BackwardShared {
  Tile<kD> queries, douts, keys, values;
  Scores probs, dscores;
  float lse[kTile], delta[kTile];
  int start[kTile];
};

// Loads a tile of queries with their dout, lse and delta, and the index of the first key that each query sees. Queries
// after the last are zeros: they add nothing to dK and dV.
template <typename T, int kD>
__device__ void load_queries(BackwardShared<kD>& shared, const AttentionShape& shape,
                             const AttentionBackward<T>& tensors, int head, int first) {
  const int rows = shape.T - first, i = static_cast<int>(threadIdx.x);
  load_tile(shared.queries, tensors.qkv + shape.query(head) + first * shape.qkv_stride, shape.qkv_stride, rows,
            shape.D);
  load_tile(shared.douts, tensors.dout + shape.out(head) + first * shape.out_stride, shape.out_stride, rows, shape.D);
  if (i >= kTile) return;
  const int64_t at = int64_t{head} * shape.T + first + i;
  shared.lse[i] = i < rows ? tensors.lse[at] : 0.0f;
  shared.delta[i] = i < rows ? tensors.delta[at] : 0.0f;
  shared.start[i] = shape.start(head / shape.H, first + i);
}
template <typename T, int kD>
__device__ void load_keys(BackwardShared<kD>& shared, const AttentionShape& shape, const AttentionBackward<T>& tensors,
                          int kv_head, int first) {
  const T* keys = tensors.qkv + shape.key(kv_head) + first * shape.qkv_stride;
  load_tile(shared.keys, keys, shape.qkv_stride, shape.T - first, shape.D);
  load_tile(shared.values, keys + shape.values, shape.qkv_stride, shape.T - first, shape.D);
}

// Turns `score` into its probability. Turns `dprob`, the gradient of that probability, into the gradient of the score,
// not yet multiplied by `scale`.
__device__ void to_gradients(float& score, float& dprob, float scale, float lse, float delta, bool hidden) {
  score = hidden ? 0.0f : expf(score * scale - lse);
  dprob = score * (dprob - delta);
}

template <typename T, int kD>
__global__ void __launch_bounds__(kThreads, kBackwardBlocks<kD>)
    attention_fma_backward_keys_kernel(AttentionShape shape, AttentionSchedule schedule, AttentionBackward<T> tensors) {
  auto& shared = *shared_memory<BackwardShared<kD>>();
  const auto [head, key_tile] = schedule.work(blockIdx.x);
  const int first_key = key_tile * kTile;
  load_keys(shared, shape, tensors, head, first_key);
  Output<kD> dkeys, dvalues;
  for (int h = head * shape.group; h < (head + 1) * shape.group; ++h)
    for (int first_query = first_key; first_query < shape.T; first_query += kTile) {
      if (shape.start(head / shape.G, first_query) >= first_key + kTile) break;  // the next queries see later keys only
      __syncthreads();
      load_queries(shared, shape, tensors, h, first_query);
      __syncthreads();
      float probs[kRows][kColumns], dscores[kRows][kColumns];
      multiply_by_rows(probs, shared.keys, shared.queries, shape.D);
      multiply_by_rows(dscores, shared.values, shared.douts, shape.D);
      for (int i = 0; i < kRows; ++i)
        for (int j = 0; j < kColumns; ++j) {
          const int key = first_row() + i, query = lane_of_row() + j * kLanes;
          to_gradients(probs[i][j], dscores[i][j], shape.scale, shared.lse[query], shared.delta[query],
                       (first_query == first_key && key > query) || first_key + key < shared.start[query]);
        }
      store_scores(shared.probs, probs);
      store_scores(shared.dscores, dscores);
      dvalues.multiply_add(shared.probs, shared.douts, shape.D);
      dkeys.multiply_add(shared.dscores, shared.queries, shape.D);
    }
  for (int i = 0; i < kRows; ++i) dkeys.scale(i, shape.scale);
  T* to = tensors.dqkv + shape.key(head) + first_key * shape.qkv_stride;
  dkeys.store(to, shape.qkv_stride, shape.T - first_key, shape.D);
  dvalues.store(to + shape.values, shape.qkv_stride, shape.T - first_key, shape.D);
}

template <typename T, int kD>
__global__ void __launch_bounds__(kThreads, kBackwardBlocks<kD>)
    attention_fma_backward_queries_kernel(AttentionShape shape, AttentionSchedule schedule,
                                          AttentionBackward<T> tensors) {
  auto& shared = *shared_memory<BackwardShared<kD>>();
  const auto [head, rank] = schedule.work(blockIdx.x);
  const int first_query = (schedule.last_rank() - rank) * kTile;
  load_queries(shared, shape, tensors, head, first_query);
  Output<kD> dqueries;
  const int start = shape.start(head / shape.H, first_query) / kTile * kTile;
  for (int first_key = start; first_key <= first_query; first_key += kTile) {
    __syncthreads();
    load_keys(shared, shape, tensors, head / shape.group, first_key);
    __syncthreads();
    float probs[kRows][kColumns], dscores[kRows][kColumns];
    multiply_by_rows(probs, shared.queries, shared.keys, shape.D);
    multiply_by_rows(dscores, shared.douts, shared.values, shape.D);
    for (int i = 0; i < kRows; ++i)
      for (int j = 0; j < kColumns; ++j) {
        const int query = first_row() + i, key = lane_of_row() + j * kLanes;
        to_gradients(probs[i][j], dscores[i][j], shape.scale, shared.lse[query], shared.delta[query],
                     (first_query == first_key && key > query) || first_key + key < shared.start[query]);
      }
    store_scores(shared.dscores, dscores);
    dqueries.multiply_add(shared.dscores, shared.keys, shape.D);
  }
  for (int i = 0; i < kRows; ++i) dqueries.scale(i, shape.scale);
  dqueries.store(tensors.dqkv + shape.query(head) + first_query * shape.qkv_stride, shape.qkv_stride,
                 shape.T - first_query, shape.D);
}

// Calls visit with std::integral_constant<int, kD>, the row width of the tiles for heads of size D.
template <typename Visit>
void with_tile_width(int D, Visit visit) {
  if (D <= 64) return visit(std::integral_constant<int, 64>{});
  if (D <= 128) return visit(std::integral_constant<int, 128>{});
  visit(std::integral_constant<int, 256>{});
}

static_assert(sizeof(BackwardShared<kMaxHeadDim>) <= kWideHeadSharedBytes);
static_assert(sizeof(BackwardShared<kMaxTensorHeadDim>) <= kSharedBytesEverywhere);

AttentionSchedule schedule_of(const AttentionShape& shape, int64_t heads, int64_t heads_read) {
  return {heads, ceil_div(shape.T, kTile), heads_read * shape.T * shape.D * static_cast<int64_t>(sizeof(float))};
}

}  // namespace

template <typename T>
void attention_fma_forward(const AttentionShape& shape, const AttentionForward<T>& tensors, cudaStream_t stream) {
  with_tile_width(shape.D, [&]<int kD>(std::integral_constant<int, kD>) {
    const AttentionSchedule schedule = schedule_of(shape, shape.B * shape.H, 2);
    GPTMOE_LAUNCH((attention_fma_forward_kernel<T, kD>), schedule.blocks(), kThreads, sizeof(ForwardShared<kD>), stream,
                  shape, schedule, tensors);
  });
}

template <typename T>
void attention_fma_backward(const AttentionShape& shape, const AttentionBackward<T>& tensors, cudaStream_t stream) {
  with_tile_width(shape.D, [&]<int kD>(std::integral_constant<int, kD>) {
    const AttentionSchedule by_keys = schedule_of(shape, shape.B * shape.G, 2 * shape.group);
    GPTMOE_LAUNCH((attention_fma_backward_keys_kernel<T, kD>), by_keys.blocks(), kThreads, sizeof(BackwardShared<kD>),
                  stream, shape, by_keys, tensors);
    const AttentionSchedule by_queries = schedule_of(shape, shape.B * shape.H, 2);
    GPTMOE_LAUNCH((attention_fma_backward_queries_kernel<T, kD>), by_queries.blocks(), kThreads,
                  sizeof(BackwardShared<kD>), stream, shape, by_queries, tensors);
  });
}

template void attention_fma_forward(const AttentionShape&, const AttentionForward<float>&, cudaStream_t);
template void attention_fma_forward(const AttentionShape&, const AttentionForward<bf16>&, cudaStream_t);
template void attention_fma_backward(const AttentionShape&, const AttentionBackward<float>&, cudaStream_t);
template void attention_fma_backward(const AttentionShape&, const AttentionBackward<bf16>&, cudaStream_t);

}  // namespace gptmoe::cuda
