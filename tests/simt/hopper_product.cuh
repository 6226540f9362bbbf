#pragma once
// The smallest complete use of kernels/cuda/hopper: a product whose operands come through a ring of three stages. One
// warp fills stages by tensor copies, and a warpgroup multiplies them. Tests plant bugs in it.
#include "kernels/cuda/hopper/bulk_copy.cuh"
#include "kernels/cuda/hopper/warp_roles.cuh"
#include "kernels/cuda/hopper/wgmma.cuh"

namespace gptmoe::cuda {

enum class Bug {
  none,
  no_proxy_fence,
  no_wgmma_fence,
  no_final_wait,
  wrong_stride,
  stride_too_far,
  reader_parity,
  writer_parity,
  early_release,
  half_the_bytes
};

constexpr int kTile = 64, kStages = 3, kStageBytes = 2 * kTile * kTile * 2;  // of one stage of A and B

struct ProductShared {
  alignas(1024) bf16 a[kStages][kTile * kTile];
  alignas(1024) bf16 b[kStages][kTile * kTile];
  Mbarrier full[kStages], empty[kStages];
};

// d = A B^T in f32. A is (m, k) with m <= 64, B is (n, k), d is (m, n). The maps have boxes of 64 x 64 and a swizzle of
// 128 bytes. Block i of 160 threads computes columns 64 i to 64 i + 63. Shared memory: ProductShared.
template <Bug kBug>
__global__ void __launch_bounds__(160)
    hopper_product_kernel(const __grid_constant__ CUtensorMap a, const __grid_constant__ CUtensorMap b, float* d, int m,
                          int n, int k) {
  auto& shared = *shared_memory<ProductShared>();
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  const int first_column = static_cast<int>(blockIdx.x) * kTile, steps = ceil_div(k, kTile);
  if (thread == 0) {
    for (int i = 0; i < kStages; ++i) {
      mbarrier_init(&shared.full[i], 1);
      mbarrier_init(&shared.empty[i], 4);
    }
    if (kBug != Bug::no_proxy_fence) fence_async_proxy();
  }
  __syncthreads();

  if (warp == 4) {
    if (!elect_one()) return;
    for (int step = 0; step < steps; ++step) {
      const int stage = step % kStages, round = step / kStages;
      mbarrier_wait(&shared.empty[stage], kBug == Bug::writer_parity ? 1u : static_cast<uint32_t>(round + 1) % 2);
      mbarrier_arrive_expect(&shared.full[stage], kBug == Bug::half_the_bytes ? kStageBytes / 2 : kStageBytes);
      tensor_load(shared.a[stage], a, step * kTile, 0, &shared.full[stage]);
      tensor_load(shared.b[stage], b, step * kTile, first_column, &shared.full[stage]);
    }
    return;
  }
  float sums[kTile / 2];
  constexpr uint32_t kStride = kBug == Bug::wrong_stride ? 512 : kBug == Bug::stride_too_far ? 4096 : 1024;
  for (int step = 0; step < steps; ++step) {
    const int stage = step % kStages, round = step / kStages;
    mbarrier_wait(&shared.full[stage], kBug == Bug::reader_parity ? 0u : static_cast<uint32_t>(round) % 2);
    if (kBug != Bug::no_wgmma_fence) wgmma_fence();
    GPTMOE_UNROLL
    for (int at = 0; at < kTile; at += 16)
      wgmma<kTile, Major::k, Major::k>(
          sums, matrix_descriptor(&shared.a[stage][at], 0, kStride, SharedSwizzle::bytes_128),
          matrix_descriptor(&shared.b[stage][at], 0, kStride, SharedSwizzle::bytes_128), step > 0 || at > 0);
    wgmma_commit();
    if (kBug == Bug::early_release) {
      if (lane == 0) mbarrier_arrive(&shared.empty[stage]);
      continue;
    }
    wgmma_wait<1>();
    if (step > 0 && lane == 0) mbarrier_arrive(&shared.empty[(step - 1) % kStages]);
  }
  if (kBug != Bug::no_final_wait) wgmma_wait<0>();
  GPTMOE_UNROLL
  for (int i = 0; i < kTile / 2; ++i) {
    const int row = warp * 16 + lane / 4 + i / 2 % 2 * 8, column = first_column + i / 4 * 8 + lane % 4 * 2 + i % 2;
    if (row < m && column < n) d[static_cast<int64_t>(row) * n + column] = sums[i];
  }
}

}  // namespace gptmoe::cuda
