#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/expert_tiles.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kRowThreads = 256;

// ---- Clipping. Three kernels compute the rows' norms (one warp per row; reads R C elements), their lower median, and
// the scales.

template <typename T, int N>
__global__ void norms_kernel(float* __restrict__ norms_R, const T* __restrict__ rows_RC, int64_t R, int64_t C) {
  const int64_t r = grid_warp_index();
  if (r >= R) return;
  float sum = 0;
  for (int64_t c = lane_index() * N; c < C; c += kWarp * N) {
    const auto row = Pack<T, N>::load(rows_RC + r * C + c);
    for (int i = 0; i < N; ++i) sum += row[i] * row[i];
  }
  sum = warp_sum(sum);
  if (lane_index() == 0) norms_R[r] = sqrtf(sum);
}

constexpr int kSelectThreads = 1024, kBins = 2 * kSelectThreads;

struct SelectShared {
  unsigned bins[kBins];
  unsigned warps[kMaxWarps];
  unsigned prefix, rank;
};

// Finds the value of rank (R - 1) / 2 by radix select in one block. The bits of non-negative numbers, read as integers,
// have the same order as the numbers, and NaN counts as the largest. Three passes find 11, 11 and 10 bits; in each
// pass, the counts of the bins give the bin of the wanted value and its rank within the bin.
__global__ void __launch_bounds__(kSelectThreads) median_kernel(float* median_1, const float* values_R, int64_t R) {
  auto& shared = *shared_memory<SelectShared>();
  const int thread = static_cast<int>(threadIdx.x), warp = warp_index(), lane = lane_index();
  unsigned prefix = 0, rank = static_cast<unsigned>((R - 1) / 2);
  for (int known = 0; known < 32; known += 11) {
    const int shift = known < 22 ? 21 - known : 0;
    const unsigned digits = known < 22 ? 2048 : 1024;
    shared.bins[2 * thread] = shared.bins[2 * thread + 1] = 0;
    __syncthreads();
    for (int64_t begin = 0; begin < R; begin += kSelectThreads) {
      const int64_t r = begin + thread;
      const unsigned bits = r < R ? __float_as_uint(values_R[r]) : 0;
      const bool candidate = r < R && (known == 0 || bits >> (32 - known) == prefix);
      const int digit = candidate ? static_cast<int>(bits >> shift & (digits - 1)) : -1;
      const unsigned same = __match_any_sync(kAllLanes, digit);  // norms are similar: most lanes would use one bin
      if (candidate && (same & ((1u << lane) - 1)) == 0) atomicAdd(&shared.bins[digit], unsigned(__popc(same)));
    }
    __syncthreads();
    // Each thread has two bins. A scan over the block gives the counts before them.
    const unsigned one = shared.bins[2 * thread], two = shared.bins[2 * thread + 1];
    const unsigned through = warp_inclusive_scan(one + two);
    if (lane == kWarp - 1) shared.warps[warp] = through;
    __syncthreads();
    const unsigned of_warps = warp_inclusive_scan(shared.warps[lane]);
    const unsigned before = __shfl_sync(kAllLanes, of_warps, warp) - shared.warps[warp] + through - (one + two);
    if (rank >= before && rank < before + one + two) {
      const bool second = rank >= before + one;
      shared.prefix = prefix * digits + static_cast<unsigned>(2 * thread) + second;
      shared.rank = rank - before - (second ? one : 0);
    }
    __syncthreads();
    prefix = shared.prefix;
    rank = shared.rank;
  }
  if (thread == 0) *median_1 = __uint_as_float(prefix);
}

__global__ void clip_kernel(float* norms_R, const float* median_1, float clip, int64_t R) {
  const int64_t r = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (r >= R) return;
  const float norm = norms_R[r], limit = clip * *median_1;
  norms_R[r] = norm > limit ? limit / norm : 1.0f;
}

// ---- Accumulation, in two stages: sums over tiles of an expert's rows, then over each expert's tiles. Reads R C
// elements. With 64 rows per tile, the f32 partial sums take 1/32 as many bytes; they are written once and read once.
// Fusing this into the epilogue of the matrix product that makes the rows would save little. For 16,384 rows of 1024 in
// bf16, this accumulation reads 34 MB, which takes 8 us at 4.3 TB/s and less from a large L2 cache. The matrix products
// of these experts, with hidden width 2816, take more than 1 ms (850 GFLOP forward and backward).

constexpr int kSumThreads = 128, kSumRows = 64, kRowsAtOnce = 8;

struct TileSums {
  float *rows, *gates;  // (tiles, C), (tiles)
  int64_t tile_rows;
};

struct SumShared {
  float factors[kSumRows];
  float partials[kMaxWarps];
};

template <typename T, int N>
__global__ void __launch_bounds__(kSumThreads)
    sum_tiles_kernel(TileSums sums, const T* __restrict__ rows_RC, const float* __restrict__ gates_NK,
                     const int32_t* __restrict__ slots_R, const float* __restrict__ row_scale_R,
                     const int64_t* offsets_E1, int64_t E, int64_t C) {
  auto& shared = *shared_memory<SumShared>();
  const RowTile tile = find_row_tile(offsets_E1, E, sums.tile_rows, blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t column = (int64_t{blockIdx.y} * kSumThreads + thread) * N;
  float total[N] = {}, gate_sum = 0;
  for (int64_t begin = 0; begin < tile.count; begin += kSumRows) {
    const int count = tile.count - begin < kSumRows ? static_cast<int>(tile.count - begin) : kSumRows;
    if (thread < count) {
      const int64_t r = tile.first + begin + thread;
      const float weight = gates_NK ? gates_NK[slots_R[r]] : 1.0f;
      gate_sum += weight;
      shared.factors[thread] = row_scale_R ? weight * row_scale_R[r] : weight;
    }
    __syncthreads();
    if (column < C) {
      const T* rows = rows_RC + (tile.first + begin) * C + column;
      for (int i = 0; i < count; i += kRowsAtOnce) {
        Pack<T, N> several[kRowsAtOnce];
        GPTMOE_UNROLL
        for (int k = 0; k < kRowsAtOnce; ++k)
          several[k] = Pack<T, N>::load(rows + (i + k < count ? i + k : count - 1) * C);
        GPTMOE_UNROLL
        for (int k = 0; k < kRowsAtOnce; ++k)
          if (i + k < count)
            for (int j = 0; j < N; ++j) total[j] += shared.factors[i + k] * several[k][j];
      }
    }
    __syncthreads();
  }
  if (tile.count == 0) return;
  if (column < C) {
    constexpr int kWide = N < 4 ? N : 4;
    GPTMOE_UNROLL
    for (int j = 0; j < N; j += kWide) {
      Pack<float, kWide> pack;
      for (int k = 0; k < kWide; ++k) pack.element[k] = total[j + k];
      pack.store(sums.rows + blockIdx.x * C + column + j);
    }
  }
  gate_sum = block_sum(gate_sum, shared.partials);
  if (blockIdx.y == 0 && thread == 0) sums.gates[blockIdx.x] = gate_sum;
}

__global__ void add_tiles_kernel(float* sums_EC, float* divisors_E, TileSums sums, const int64_t* offsets_E1,
                                 Divisor divisor, int64_t C) {
  const int64_t expert = blockIdx.x, c = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
  const int lane = lane_index();
  const auto tiles_of = [=](int64_t e) { return ceil_div(offsets_E1[e + 1] - offsets_E1[e], sums.tile_rows); };
  int64_t first = 0;
  for (int64_t begin = 0; begin < expert; begin += kWarp) {
    const int64_t own = begin + lane < expert ? tiles_of(begin + lane) : 0;
    first += __shfl_sync(kAllLanes, warp_inclusive_scan(own), kWarp - 1);
  }
  const int64_t tiles = tiles_of(expert);
  if (c < C) {
    float total = 0;
    for (int64_t tile = 0; tile < tiles; ++tile) total += sums.rows[(first + tile) * C + c];
    sums_EC[expert * C + c] += total;
  }
  if (blockIdx.y == 0 && warp_index() == 0) {
    float gate_sum = 0;
    for (int64_t tile = lane; tile < tiles; tile += kWarp) gate_sum += sums.gates[first + tile];
    gate_sum = warp_sum(gate_sum);
    const auto rows = static_cast<float>(offsets_E1[expert + 1] - offsets_E1[expert]);
    if (lane == 0) divisors_E[expert] += divisor == Divisor::gates ? gate_sum : rows;
  }
}

// One block per expert: every thread reads the divisor before one thread clears it.
__global__ void commit_kernel(float* default_EC, float* sums_EC, float* divisors_E, float keep, float take,
                              bool decay_unseen, int64_t C) {
  const int64_t expert = blockIdx.x;
  float *old = default_EC + expert * C, *sum = sums_EC + expert * C;
  const float divisor = divisors_E[expert];
  for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
    if (divisor > 0)
      old[c] = keep * old[c] + take / divisor * sum[c];
    else if (decay_unseen)
      old[c] *= keep;
    sum[c] = 0;
  }
  __syncthreads();
  if (threadIdx.x == 0) divisors_E[expert] = 0;
}

}  // namespace

void CudaKernels::default_clip_scale(const Tensor& row_scale_R, const Tensor& rows_RC, double clip) {
  const int64_t R = rows_RC.size(0), C = rows_RC.size(1);
  GPTMOE_CHECK(R <= INT32_MAX, R, " rows");
  float *row_scale = row_scale_R.as<float>(), *median = partials(1, 1).data;
  with_real(rows_RC, [&]<typename T>(T*) {
    const T* rows = rows_RC.as<T>();
    with_pack<T>(
        C,
        [&]<int N>(std::integral_constant<int, N>) {
          GPTMOE_LAUNCH((norms_kernel<T, N>), blocks_for_warps(R, kRowThreads), kRowThreads, 0, stream_, row_scale,
                        rows, R, C);
        },
        rows);
  });
  GPTMOE_LAUNCH(median_kernel, 1, kSelectThreads, sizeof(SelectShared), stream_, median, row_scale, R);
  GPTMOE_LAUNCH(clip_kernel, static_cast<unsigned>(ceil_div(R, kRowThreads)), kRowThreads, 0, stream_, row_scale,
                median, static_cast<float>(clip), R);
}

void CudaKernels::default_accumulate(const Tensor& sums_EC, const Tensor& divisors_E, const Tensor& rows_RC,
                                     const Tensor& gates_NK, const Tensor& slots_R, const Tensor& offsets_E1,
                                     const Tensor& row_scale_R, Divisor divisor) {
  const int64_t E = sums_EC.size(0), C = sums_EC.size(1), R = rows_RC.size(0);
  float *sums_out = sums_EC.as<float>(), *divisors = divisors_E.as<float>();
  const float* gates = gates_NK.present() ? gates_NK.as<float>() : nullptr;
  const float* row_scale = row_scale_R.present() ? row_scale_R.as<float>() : nullptr;
  const int32_t* slots = slots_R.as<int32_t>();
  const int64_t* offsets = offsets_E1.as<int64_t>();

  constexpr int64_t kMostFloats = 8 << 20;  // more partial sums are not worth their traffic
  int64_t tile_rows = kSumRows;
  while (tile_rows < R && most_row_tiles(R, E, tile_rows) * C > kMostFloats) tile_rows *= 2;
  const int64_t tiles = most_row_tiles(R, E, tile_rows);
  if (tiles == 0) return;
  float* workspace = partials(tiles * (C + 1), 1).data;
  const TileSums sums{workspace, workspace + tiles * C, tile_rows};
  with_real(rows_RC, [&]<typename T>(T*) {
    const T* rows = rows_RC.as<T>();
    with_pack<T>(
        C,
        [&]<int N>(std::integral_constant<int, N>) {
          const dim3 grid(static_cast<unsigned>(tiles), static_cast<unsigned>(ceil_div(C, kSumThreads * N)));
          GPTMOE_LAUNCH((sum_tiles_kernel<T, N>), grid, kSumThreads, sizeof(SumShared), stream_, sums, rows, gates,
                        slots, row_scale, offsets, E, C);
        },
        rows);
  });
  const dim3 grid(static_cast<unsigned>(E), static_cast<unsigned>(ceil_div(C, kSumThreads)));
  GPTMOE_LAUNCH(add_tiles_kernel, grid, kSumThreads, 0, stream_, sums_out, divisors, sums, offsets, divisor, C);
}

void CudaKernels::default_commit(const Tensor& default_EC, const Tensor& sums_EC, const Tensor& divisors_E, double beta,
                                 bool decay_unseen) {
  const int64_t E = default_EC.size(0), C = default_EC.size(1);
  GPTMOE_LAUNCH(commit_kernel, static_cast<unsigned>(E), kRowThreads, 0, stream_, default_EC.as<float>(),
                sums_EC.as<float>(), divisors_E.as<float>(), static_cast<float>(beta), static_cast<float>(1 - beta),
                decay_unseen, C);
}

}  // namespace gptmoe::cuda
