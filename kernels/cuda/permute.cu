#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/warps.cuh"

namespace gptmoe::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp, kScanThreads = 1024;

// ---- The sort. Each warp of the grid takes a run of consecutive slots and counts them by expert. One block turns the
// counts into each run's first row for each expert. Then each warp places the slots of its run, in order.

constexpr int64_t kMostRuns = 512;  // one block can scan these in a few microseconds

struct Runs {
  int64_t R, E;
  int64_t slots, count;  // slots per run (a multiple of 32), and number of runs
};

// Calls visit(slot, expert, lanes, earlier) for the slots of the warp's run, a warp at a time. `lanes` is the number of
// lanes whose slots have the same expert; `earlier` is the number of those lanes that come before this one. expert < 0
// means a dead slot, or no slot (slot >= R).
template <typename Visit>
__device__ void walk_run(const Runs& runs, int64_t run, const int32_t* expert_ids, Visit visit) {
  const int lane = lane_index();
  const int64_t end = (run + 1) * runs.slots < runs.R ? (run + 1) * runs.slots : runs.R;
  for (int64_t slot = run * runs.slots + lane; slot - lane < end; slot += kWarp) {
    const int expert = slot < end ? expert_ids[slot] : -1;
    const unsigned same = __match_any_sync(kAllLanes, expert);
    visit(slot, expert, __popc(same), __popc(same & ((1u << lane) - 1)));
    __syncwarp();
  }
}

__global__ void count_kernel(int* counts_EU, const int32_t* expert_ids, Runs runs) {
  int* own = shared_memory<int>() + warp_index() * runs.E;
  const int64_t run = grid_warp_index();
  if (run >= runs.count) return;
  for (int64_t e = lane_index(); e < runs.E; e += kWarp) own[e] = 0;
  __syncwarp();
  walk_run(runs, run, expert_ids, [=](int64_t, int expert, int lanes, int earlier) {
    if (expert >= 0 && earlier == 0) own[expert] += lanes;
  });
  for (int64_t e = lane_index(); e < runs.E; e += kWarp) counts_EU[e * runs.count + run] = own[e];
}

// One block replaces each expert's count of slots in a run with the number of the expert's slots in earlier runs. The
// totals give the offsets.
__global__ void __launch_bounds__(kScanThreads) scan_counts_kernel(int64_t* offsets_E1, int* counts_EU, Runs runs) {
  constexpr int kEach = 4;  // neighbouring runs per lane
  int* totals = shared_memory<int>();
  const int lane = lane_index();
  for (int64_t e = warp_index(); e < runs.E; e += blockDim.x / kWarp) {
    int* counts = counts_EU + e * runs.count;
    int before = 0;
    for (int64_t begin = 0; begin < runs.count; begin += kWarp * kEach) {
      const int64_t first = begin + lane * kEach;
      int own[kEach], sum = 0;
      for (int i = 0; i < kEach; ++i) sum += own[i] = first + i < runs.count ? counts[first + i] : 0;
      const int through = warp_inclusive_scan(sum);
      int next = before + through - sum;
      for (int i = 0; i < kEach; ++i) {
        if (first + i < runs.count) counts[first + i] = next;
        next += own[i];
      }
      before += __shfl_sync(kAllLanes, through, kWarp - 1);
    }
    if (lane == 0) totals[e] = before;
  }
  __syncthreads();
  if (warp_index() != 0) return;
  int64_t before = 0;
  for (int64_t begin = 0; begin < runs.E; begin += kWarp) {
    const int64_t e = begin + lane, own = e < runs.E ? totals[e] : 0, through = warp_inclusive_scan(own);
    if (e < runs.E) offsets_E1[e] = before + through - own;
    before += __shfl_sync(kAllLanes, through, kWarp - 1);
  }
  if (lane == 0) offsets_E1[runs.E] = before;
}

__global__ void place_kernel(int32_t* slots_R, int32_t* positions_NK, const int64_t* offsets_E1, const int* before_EU,
                             const int32_t* expert_ids, Runs runs) {
  int* next = shared_memory<int>() + warp_index() * runs.E;
  const int64_t run = grid_warp_index();
  if (run >= runs.count) return;
  for (int64_t e = lane_index(); e < runs.E; e += kWarp)
    next[e] = static_cast<int>(offsets_E1[e]) + before_EU[e * runs.count + run];
  __syncwarp();
  walk_run(runs, run, expert_ids, [=](int64_t slot, int expert, int lanes, int earlier) {
    const int row = expert < 0 ? 0 : next[expert] + earlier;
    __syncwarp();
    if (expert < 0) {
      if (slot < runs.R) positions_NK[slot] = -1;
      return;
    }
    if (earlier == 0) next[expert] = row + lanes;
    slots_R[row] = static_cast<int32_t>(slot);
    positions_NK[slot] = row;
  });
}

// ---- Scatter: one warp per token. It reads R C + N C elements and writes N C; this traffic is its whole cost.

template <typename T, int N>
__global__ void scatter_kernel(T* __restrict__ y_NC, const T* __restrict__ rows_RC,
                               const int32_t* __restrict__ positions_NK, int64_t tokens, int K, int64_t C) {
  const int64_t n = grid_warp_index();
  if (n >= tokens) return;
  const int32_t* positions = positions_NK + n * K;
  for (int64_t c = lane_index() * N; c < C; c += kWarp * N) {
    auto sum = Pack<T, N>::load(y_NC + n * C + c);
    float sums[N];
    for (int i = 0; i < N; ++i) sums[i] = sum[i];
    for (int k = 0; k < K; ++k) {
      if (positions[k] < 0) continue;
      const auto row = Pack<T, N>::load(rows_RC + positions[k] * C + c);
      for (int i = 0; i < N; ++i) sums[i] += row[i];
    }
    for (int i = 0; i < N; ++i) sum.set(i, sums[i]);
    sum.store(y_NC + n * C + c);
  }
}

}  // namespace

void CudaKernels::sort_by_expert(const Tensor& offsets_E1, const Tensor& slots_R, const Tensor& positions_NK,
                                 const Tensor& expert_ids_NK) {
  const int64_t R = expert_ids_NK.count(), E = offsets_E1.count() - 1;
  GPTMOE_CHECK(E <= kMostExperts && R <= INT32_MAX, E, " experts, ", R, " rows");
  int64_t* offsets = offsets_E1.as<int64_t>();
  int32_t *slots = slots_R.as<int32_t>(), *positions = positions_NK.as<int32_t>();
  const int32_t* expert_ids = expert_ids_NK.as<int32_t>();
  const int64_t run = ceil_div(R, kMostRuns * kWarp) * kWarp;
  const Runs runs{R, E, run, R == 0 ? 0 : ceil_div(R, run)};
  static_assert(sizeof(int) == sizeof(float));
  int* counts = reinterpret_cast<int*>(partials(E * runs.count, 1).data);
  const size_t counters = sizeof(int) * static_cast<size_t>(E);
  const unsigned blocks = blocks_for_warps(runs.count, kThreads);
  GPTMOE_LAUNCH(count_kernel, blocks, kThreads, counters * kWarps, stream_, counts, expert_ids, runs);
  GPTMOE_LAUNCH(scan_counts_kernel, 1, kScanThreads, counters, stream_, offsets, counts, runs);
  GPTMOE_LAUNCH(place_kernel, blocks, kThreads, counters * kWarps, stream_, slots, positions, offsets, counts,
                expert_ids, runs);
}

void CudaKernels::scatter_rows_add(const Tensor& y_NC, const Tensor& rows_RC, const Tensor& positions_NK) {
  const int64_t N = y_NC.size(0), C = y_NC.size(1), K = positions_NK.size(1);
  const int32_t* positions = positions_NK.as<int32_t>();
  with_real(y_NC, [&]<typename T>(T*) {
    T* y = y_NC.as<T>();
    const T* rows = rows_RC.as<T>();
    with_pack<T>(
        C,
        [&]<int kPack>(std::integral_constant<int, kPack>) {
          GPTMOE_LAUNCH((scatter_kernel<T, kPack>), blocks_for_warps(N, kThreads), kThreads, 0, stream_, y, rows,
                        positions, N, static_cast<int>(K), C);
        },
        y, rows);
  });
}

}  // namespace gptmoe::cuda
