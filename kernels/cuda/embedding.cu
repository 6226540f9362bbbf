// The backward sorts the tokens, cuts the sorted list into chunks of equal length, and sums each chunk's runs of equal
// tokens. The sum of a run inside a chunk goes directly to its row of the table. If a run crosses a border of a chunk,
// the sum of the chunk's part goes to the workspace, and a second kernel adds these partial sums. So the work is
// divided evenly for any text: even if one token makes up most of the batch, many chunks share its rows. Minimum
// traffic: dout is read once, and each row of the table whose token occurs is read and written.
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/token_sort.h"

namespace gptmoe::cuda {
namespace {

constexpr int kForwardWarps = 8;

// One warp per row.
template <typename T, int N>
__global__ void embedding_forward_kernel(T* out, const T* table, const int32_t* tokens, int64_t count, int64_t C) {
  const int64_t n = static_cast<int64_t>(blockIdx.x) * kForwardWarps + threadIdx.x / kWarp;
  if (n >= count) return;
  const WarpRow<T, N, 4> row(table + tokens[n] * C, C);
  row.each([&](int64_t at, const auto& pack) { pack.store(out + n * C + at); });
}

constexpr int64_t kMinChunk = 32;
constexpr int kAhead = 4;  // rows in flight

// parts (M, 2, C): two rows for each of M chunks. The first is the chunk's part of the run that starts before the
// chunk, the second its part of the run that starts in the chunk and continues after it.
template <typename T, int N>
__global__ void sum_runs_kernel(float* dtable, float* parts, const T* dout, SortedTokens sorted, int64_t count,
                                int64_t C, int64_t chunk) {
  const int32_t* keys = sorted.keys;
  const int64_t begin = blockIdx.x * chunk, end = begin + chunk < count ? begin + chunk : count;
  const bool enters = begin > 0 && keys[begin - 1] == keys[begin], leaves = end < count && keys[end - 1] == keys[end];
  float *const incoming = parts + static_cast<int64_t>(blockIdx.x) * 2 * C, *const outgoing = incoming + C;
  for (int64_t at = static_cast<int64_t>(threadIdx.x) * N; at < C; at += static_cast<int64_t>(blockDim.x) * N) {
    float sum[N] = {};
    bool first_run = enters;
    for (int64_t p = begin; p < end; p += kAhead) {
      Pack<T, N> row[kAhead] = {};
      float old[kAhead][N];
      float* target[kAhead];
      // All loads are issued first. The last row of a run determines where the run's sum goes.
      for (int j = 0; j < kAhead; ++j) {
        target[j] = nullptr;
        if (p + j >= end) continue;
        const int32_t key = keys[p + j];
        row[j] = Pack<T, N>::load(dout + sorted.places[p + j] * C + at);
        const bool last = p + j + 1 == end;
        if (!last && keys[p + j + 1] == key) continue;
        if (first_run) {
          target[j] = incoming + at;
        } else if (last && leaves) {
          target[j] = outgoing + at;
        } else {
          target[j] = dtable + key * C + at;
        }
        if (first_run || (last && leaves))
          for (int i = 0; i < N; ++i) old[j][i] = 0;
        else
          load_floats(old[j], target[j]);
        first_run = false;
      }
      for (int j = 0; j < kAhead; ++j) {
        if (p + j >= end) continue;
        for (int i = 0; i < N; ++i) sum[i] += row[j][i];
        if (!target[j]) continue;
        constexpr int kStep = N % 4 == 0 ? 4 : 1;
        for (int i = 0; i < N; i += kStep) {
          Pack<float, kStep> out;
          for (int s = 0; s < kStep; ++s) {
            out.set(s, old[j][i + s] + sum[i + s]);
            sum[i + s] = 0;
          }
          out.store(target[j] + i);
        }
      }
    }
  }
}

constexpr int kJoinLanes = 8;  // parts added at the same time

// One block for each chunk and 32 packs of columns. A block has no work if no run starts in its chunk and continues
// after it.
template <int N>
__global__ void join_runs_kernel(float* dtable, const float* parts, const int32_t* keys, int64_t count, int64_t C,
                                 int64_t chunk) {
  const int64_t m = blockIdx.x, begin = m * chunk, next = begin + chunk;
  if (next >= count) return;
  const int32_t key = keys[next];
  if (keys[next - 1] != key || (begin > 0 && keys[begin - 1] == key)) return;
  auto* sums = shared_memory<float>();  // [kJoinLanes][kWarp * N]
  const int column = static_cast<int>(threadIdx.x) % kWarp * N, lane = static_cast<int>(threadIdx.x) / kWarp;
  const int64_t at = static_cast<int64_t>(blockIdx.y) * kWarp * N + column;
  float sum[N] = {};
  if (at < C) {
    if (lane == 0) load_floats(sum, parts + (m * 2 + 1) * C + at);
    for (int64_t other = m + 1 + lane; other * chunk < count && keys[other * chunk] == key; other += kJoinLanes) {
      float part[N];
      load_floats(part, parts + other * 2 * C + at);
      for (int i = 0; i < N; ++i) sum[i] += part[i];
    }
  }
  for (int i = 0; i < N; ++i) sums[lane * kWarp * N + column + i] = sum[i];
  __syncthreads();
  if (lane != 0 || at >= C) return;
  for (int i = 0; i < N; ++i) {
    for (int other = 1; other < kJoinLanes; ++other) sum[i] += sums[other * kWarp * N + column + i];
    dtable[key * C + at + i] += sum[i];
  }
}

}  // namespace

void CudaKernels::embedding_forward(const Tensor& out_NC, const Tensor& table_VC, const Tensor& tokens_N) {
  const int64_t N = tokens_N.count(), C = table_VC.size(1);
  with_real(out_NC, [&]<typename T>(T*) {
    T* out = out_NC.as<T>();
    const T* table = table_VC.as<T>();
    const int32_t* tokens = tokens_N.as<int32_t>();
    with_pack<T>(
        C,
        [&]<int P>(std::integral_constant<int, P>) {
          GPTMOE_LAUNCH((embedding_forward_kernel<T, P>), static_cast<unsigned>(ceil_div(N, kForwardWarps)),
                        kForwardWarps * kWarp, 0, stream_, out, table, tokens, N, C);
        },
        out, table);
  });
}

void CudaKernels::embedding_backward(const Tensor& dtable_VC, const Tensor& dout_NC, const Tensor& tokens_N) {
  const int64_t N = tokens_N.count(), V = dtable_VC.size(0), C = dtable_VC.size(1);
  if (N == 0) return;
  float* dtable = dtable_VC.as<float>();
  // The sort's words come first, rounded up so that the parts after them are aligned.
  const int64_t sort_words = ceil_div(token_sort_words(N), 64) * 64;
  const int64_t fit = (kWorkspaceFloats - sort_words) / (2 * C);
  GPTMOE_CHECK(fit > 0, "no room to sort ", N, " tokens and sum rows of ", C);
  const int64_t chunk = std::max(kMinChunk, ceil_div(N, fit)), chunks = ceil_div(N, chunk);
  const SortedTokens sorted =
      sort_tokens(stream_, reinterpret_cast<int32_t*>(workspace_), tokens_N.as<int32_t>(), N, V);
  float* parts = workspace_ + sort_words;
  with_real(dout_NC, [&]<typename T>(T*) {
    const T* dout = dout_NC.as<T>();
    with_pack<T>(
        C,
        [&]<int P>(std::integral_constant<int, P>) {
          const int64_t threads = std::min<int64_t>(256, ceil_div(C / P, kWarp) * kWarp);
          GPTMOE_LAUNCH((sum_runs_kernel<T, P>), static_cast<unsigned>(chunks), static_cast<unsigned>(threads), 0,
                        stream_, dtable, parts, dout, sorted, N, C, chunk);
        },
        dout, dtable);
  });
  with_pack<float>(
      C,
      [&]<int P>(std::integral_constant<int, P>) {
        GPTMOE_LAUNCH((join_runs_kernel<P>),
                      dim3(static_cast<unsigned>(chunks), static_cast<unsigned>(ceil_div(C, kWarp * P))),
                      kJoinLanes * kWarp, kJoinLanes * kWarp * P * sizeof(float), stream_, dtable, parts, sorted.keys,
                      N, C, chunk);
      },
      dtable);
}

}  // namespace gptmoe::cuda
