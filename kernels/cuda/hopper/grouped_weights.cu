// The gradient of the experts' weights: dw (O x I) += dy^T x over the rows of each expert, in their order, so that the
// result does not depend on the order of blocks.
#include "kernels/cuda/hopper/grouped_products.h"
#include "kernels/cuda/hopper/operand_rows.cuh"

namespace gptmoe::cuda::hopper {
namespace {

struct Tiles {
  const int64_t* offsets_E1;
  int E, down, across;  // tiles in a column and in a row of dw

  // Calls visit(rows of the expert, first row, first column) for each tile of dw that this block computes.
  template <typename Tile, typename Visit>
  __device__ void for_each(Visit visit) const {
    for (int i = static_cast<int>(blockIdx.x); i < E * down * across; i += static_cast<int>(gridDim.x)) {
      const int64_t expert = i / (down * across), first = offsets_E1[expert];
      const RowTile rows{expert, first, offsets_E1[expert + 1] - first};
      if (rows.count > 0) visit(rows, i / across % down * Tile::kRows, i % across * Tile::kColumns);
    }
  }
};

// Makes zeros of a stage's steps of depth from `count` on: rows of the next expert, or rows past the last expert's,
// which may hold NaNs. All users call it.
template <typename Tile>
__device__ void clear_steps(int stage, int count) {
  constexpr int kUserThreads = Tile::kUsers * kWarpgroup, kUserBarrier = 1;
  const int thread = static_cast<int>(threadIdx.x) - kWarpgroup;
  for (int box = 0; box < (Tile::kElementsA + Tile::kElementsB) / kBoxElements; ++box)
    for (int at = count * kBoxWidth + thread * kChunk; at < kBoxElements; at += kUserThreads * kChunk)
      Pack<bf16, kChunk>{}.store(Tile::a(stage) + box * kBoxElements + at);
  fence_async_proxy();
  named_barrier(kUserBarrier, kUserThreads);
}

template <typename Tile, typename Steps>
__device__ void multiply_weights(const ConsecutiveSteps<Tile, Tile::kRows>& dy_RO, const Steps& x, float* dw, int O,
                                 int I, const Tiles& tiles) {
  using StepFiller = Filler<typename Tile::StageRing, Steps::kGathered>;
  const auto fill = [&] {
    StepFiller filler(Tile::ring());
    tiles.for_each<Tile>([&](const RowTile& rows, int row, int column) {
      const auto left = dy_RO.of(rows, row);
      auto right = x.of(rows, column);
      for (int at = 0; at < rows.count; at += Tile::kDepth)
        filler.fill(
            Tile::kBytesA + Steps::kBytes,
            [&](int stage, Mbarrier* full) {
              left.load(Tile::a(stage), at, full);
              right.load(Tile::b(stage), at, full);
            },
            [&](int stage) { right.copy(Tile::b(stage), at); });
    });
    filler.finish();
  };
  const auto use = [&] {
    Walk walk(Tile::ring());
    tiles.for_each<Tile>([&](const RowTile& rows, int row, int column) {
      float sums[Tile::kSums];
      const int count = static_cast<int>(rows.count);
      float* const to = dw + (rows.expert * O + row) * I + column;
      Tile::prefetch(to, I, O - row, I - column);
      Tile::multiply(sums, walk, ceil_div(count, Tile::kDepth), [&](int stage, int step) {
        if (const int left = count - step * Tile::kDepth; left < Tile::kDepth) clear_steps<Tile>(stage, left);
      });
      Tile::pass(sums, AddTile{to, I, O - row, I - column});
    });
  };
  Tile::run(StepFiller::kFills, fill, use);
}

template <typename Tile, typename Steps>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    grouped_weights_kernel(const __grid_constant__ ConsecutiveSteps<Tile, Tile::kRows> dy_RO,
                           const __grid_constant__ Steps x, float* dw, int O, int I, Tiles tiles) {
  if constexpr (kHasInstructions) multiply_weights<Tile>(dy_RO, x, dw, O, I, tiles);
}

}  // namespace

void grouped_weights(const Place& place, const Tensor& dw_EOI, const Tensor& dy_RO, const Tensor& x,
                     const Tensor& offsets_E1, const Tensor& slots_R) {
  const int64_t E = dw_EOI.size(0), O = dw_EOI.size(1), I = dw_EOI.size(2), R = dy_RO.size(0);
  if (R == 0) return;
  with_columns(I, [&]<int kColumns>(std::integral_constant<int, kColumns>) {
    using Tile = ProductTile<kColumns, Major::mn, Major::mn>;
    const int64_t down = ceil_div(O, Tile::kRows), across = ceil_div(I, kColumns);
    const auto with = [&]<typename Steps>(const Steps& steps) {
      GPTMOE_LAUNCH(
          (grouped_weights_kernel<Tile, Steps>),
          static_cast<unsigned>(std::min<int64_t>(E * down * across, place.multiprocessors)), Tile::kThreads,
          sizeof(typename Tile::Shared), place.stream, ConsecutiveSteps<Tile, Tile::kRows>(dy_RO), steps,
          dw_EOI.as<float>(), O, I,
          Tiles{offsets_E1.as<int64_t>(), static_cast<int>(E), static_cast<int>(down), static_cast<int>(across)});
    };
    slots_R.present() ? with(GatheredSteps<Tile, kColumns>(x, slots_R, R)) : with(ConsecutiveSteps<Tile, kColumns>(x));
  });
}

}  // namespace gptmoe::cuda::hopper
