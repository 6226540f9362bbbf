// Products of sorted rows and the weights of their experts: four ops, one kernel. The ops differ in how the weights are
// stored and in what becomes of a tile of the product.
//
// As many blocks as there are multiprocessors go through the list of tiles, which they find on the device. While a
// block stores a tile, it already loads the next one. Consecutive blocks compute the columns of the same rows, so that
// an expert's weights are read from memory once.
#include "kernels/cuda/hopper/grouped_products.h"
#include "kernels/cuda/hopper/operand_rows.cuh"
#include "kernels/cuda/swiglu_tiles.cuh"

namespace gptmoe::cuda::hopper {
namespace {

// ---- Weights: operand B, 64 steps of depth. The expert is an index of the map's last dimension, so that no box holds
// weights of two experts.

CUtensorMap weights_map(const Tensor& w, int box_rows) {
  constexpr int64_t kElement = sizeof(bf16);
  const int64_t row = w.size(2) * kElement;
  return tensor_map(w.data(), {w.size(2), w.size(1), w.size(0)}, {row, w.size(1) * row}, {kBoxWidth, box_rows, 1},
                    SharedSwizzle::bytes_128);
}

// (E, width, depth): the product is x w^T.
template <typename Tile_>
class WeightsAlongDepth {
 public:
  using Tile = Tile_;
  explicit WeightsAlongDepth(const Tensor& w) : map_(weights_map(w, Tile::kColumns)) {}
  __device__ void load(bf16* to, int depth, int column, int expert, Mbarrier* full) const {
    tensor_load(to, map_, depth, column, expert, full);
  }

 private:
  CUtensorMap map_;
};

// (E, depth, width): the product is x w.
template <typename Tile_>
class WeightsAlongColumns {
 public:
  using Tile = Tile_;
  explicit WeightsAlongColumns(const Tensor& w) : map_(weights_map(w, Tile::kDepth)) {}
  __device__ void load(bf16* to, int depth, int column, int expert, Mbarrier* full) const {
    for (int i = 0; i < Tile::kColumns / kBoxWidth; ++i)
      tensor_load(to + i * kBoxElements, map_, column + i * kBoxWidth, depth, expert, full);
  }

 private:
  CUtensorMap map_;
};

// (E, 2F, depth), gates above ups. The left half of a tile has gates, and the right half the ups of the same features.
// Gates past the last are ups, which nobody stores.
template <typename Tile_>
class GatesAndUps {
 public:
  using Tile = Tile_;
  static constexpr int kFeatures = Tile::kColumns / 2;
  explicit GatesAndUps(const Tensor& w) : map_(weights_map(w, kFeatures)), F_(static_cast<int>(w.size(1) / 2)) {}
  __device__ void load(bf16* to, int depth, int column, int expert, Mbarrier* full) const {
    tensor_load(to, map_, depth, column / 2, expert, full);
    tensor_load(to + kFeatures * kBoxWidth, map_, depth, F_ + column / 2, expert, full);
  }

 private:
  CUtensorMap map_;
  int F_;
};

// ---- Results: what becomes of a tile, whose first column is `column`. The users call expect() before they multiply
// it, and take() after.

struct StoreRows {
  bf16* to;
  int width;
  template <typename Tile>
  __device__ void expect(const RowTile&, int) const {}
  template <typename Tile>
  __device__ void take(const float (&sums)[Tile::kSums], const RowTile& rows, int column) const {
    Tile::pass(sums,
               StoreTile<bf16>{to + rows.first * width + column, width, static_cast<int>(rows.count), width - column});
  }
};

struct StoreSwiglu {
  bf16 *a, *h;
  int F;
  template <typename Tile>
  __device__ void expect(const RowTile&, int) const {}
  template <typename Tile>
  __device__ void take(const float (&sums)[Tile::kSums], const RowTile& rows, int column) const {
    const int feature = column / 2;
    Tile::pass_pairs(sums, SwigluTile<bf16>{h + rows.first * 2 * F + feature, a + rows.first * F + feature, F,
                                            static_cast<int>(rows.count), F - feature});
  }
};

struct StoreSwigluGradient {
  bf16* dh;
  const bf16* h;
  int F;
  template <typename Tile>
  __device__ void expect(const RowTile& rows, int column) const {
    const bf16* gates = h + rows.first * 2 * F + column;
    Tile::prefetch(gates, 2 * F, static_cast<int>(rows.count), F - column);
    Tile::prefetch(gates + F, 2 * F, static_cast<int>(rows.count), F - column);
  }
  template <typename Tile>
  __device__ void take(const float (&sums)[Tile::kSums], const RowTile& rows, int column) const {
    const int64_t at = rows.first * 2 * F + column;
    Tile::pass(sums, SwigluGradientTile<bf16>{dh + at, h + at, F, static_cast<int>(rows.count), F - column});
  }
};

// ---- The list of tiles of the product's rows and columns.

struct Tiles {
  const int64_t* offsets_E1;
  int64_t E;
  unsigned across;  // tiles in a row of tiles

  // Calls visit(rows, first column) for each tile of this block, in order. Whole warps call it.
  template <typename Tile, typename Visit>
  __device__ void for_each(Visit visit) const {
    for (unsigned i = blockIdx.x;; i += gridDim.x) {
      const RowTile rows = find_row_tile(offsets_E1, E, Tile::kRows, i / across);
      if (rows.count == 0) return;
      visit(rows, static_cast<int>(i % across) * Tile::kColumns);
    }
  }
};

template <typename Tile, typename Rows, typename Weights, typename Results>
__device__ void multiply_rows(const Rows& in, const Weights& weights, const Results& results, const Tiles& tiles,
                              int depth) {
  using RowFiller = Filler<typename Tile::StageRing, Rows::kGathered>;
  const auto fill = [&] {
    RowFiller filler(Tile::ring());
    tiles.for_each<Tile>([&](const RowTile& tile, int column) {
      auto rows = in.of(tile);
      for (int at = 0; at < depth; at += Tile::kDepth)
        filler.fill(
            Rows::kBytes + Tile::kBytesB,
            [&](int stage, Mbarrier* full) {
              rows.load(Tile::a(stage), at, full);
              weights.load(Tile::b(stage), at, column, static_cast<int>(tile.expert), full);
            },
            [&](int stage) { rows.copy(Tile::a(stage), at); });
    });
    filler.finish();
  };
  const auto use = [&] {
    Walk walk(Tile::ring());
    tiles.for_each<Tile>([&](const RowTile& tile, int column) {
      float sums[Tile::kSums];
      results.template expect<Tile>(tile, column);
      Tile::multiply(sums, walk, ceil_div(depth, Tile::kDepth), [](int, int) {});
      results.template take<Tile>(sums, tile, column);
    });
  };
  Tile::run(RowFiller::kFills, fill, use);
}

template <typename Tile, typename Rows, typename Weights, typename Results>
__global__ void __launch_bounds__(Tile::kThreads, 1)
    grouped_rows_kernel(const __grid_constant__ Rows in, const __grid_constant__ Weights weights, Results results,
                        Tiles tiles, int depth) {
  if constexpr (kHasInstructions) multiply_rows<Tile>(in, weights, results, tiles, depth);
}

// Multiplies the R sorted rows of x, or of the slots of x, for a product of `width` columns.
template <typename Weights, typename Results>
void launch(const Place& place, const Tensor& x, const Tensor& slots, int64_t R, const Tensor& offsets_E1,
            const Tensor& w, int64_t width, const Results& results) {
  using Tile = typename Weights::Tile;
  if (R == 0) return;
  const int64_t E = w.size(0), across = ceil_div(width, Tile::kColumns);
  const int64_t most = across * most_row_tiles(R, E, Tile::kRows);
  const auto with = [&]<typename Rows>(const Rows& rows) {
    GPTMOE_LAUNCH((grouped_rows_kernel<Tile, Rows, Weights, Results>),
                  static_cast<unsigned>(std::min<int64_t>(most, place.multiprocessors)), Tile::kThreads,
                  sizeof(typename Tile::Shared), place.stream, rows, Weights(w), results,
                  Tiles{offsets_E1.as<int64_t>(), E, static_cast<unsigned>(across)}, static_cast<int>(x.size(1)));
  };
  slots.present() ? with(GatheredRows<Tile>(x, slots, R)) : with(ConsecutiveRows<Tile>(x));
}

template <int kColumns>
using AlongDepth = ProductTile<kColumns, Major::k, Major::k>;
template <int kColumns>
using AlongColumns = ProductTile<kColumns, Major::k, Major::mn>;
constexpr int kSwigluColumns = 128;  // with 256, the epilogues of SwiGLU spill registers

}  // namespace

void grouped_rows(const Place& place, const Tensor& y_RO, const Tensor& x, const Tensor& w_EOI,
                  const Tensor& offsets_E1, const Tensor& slots_R) {
  const int64_t O = y_RO.size(1);
  with_columns(O, [&]<int kColumns>(std::integral_constant<int, kColumns>) {
    launch<WeightsAlongDepth<AlongDepth<kColumns>>>(place, x, slots_R, y_RO.size(0), offsets_E1, w_EOI, O,
                                                    StoreRows{y_RO.as<bf16>(), static_cast<int>(O)});
  });
}

void grouped_rows_gradient(const Place& place, const Tensor& dx_RI, const Tensor& dy_RO, const Tensor& w_EOI,
                           const Tensor& offsets_E1) {
  const int64_t I = dx_RI.size(1);
  with_columns(I, [&]<int kColumns>(std::integral_constant<int, kColumns>) {
    launch<WeightsAlongColumns<AlongColumns<kColumns>>>(place, dy_RO, {}, dx_RI.size(0), offsets_E1, w_EOI, I,
                                                        StoreRows{dx_RI.as<bf16>(), static_cast<int>(I)});
  });
}

void grouped_swiglu_rows(const Place& place, const Tensor& a_RF, const Tensor& h_R2F, const Tensor& x,
                         const Tensor& w_E2FI, const Tensor& offsets_E1, const Tensor& slots_R) {
  const int64_t F = a_RF.size(1);
  launch<GatesAndUps<AlongDepth<kSwigluColumns>>>(place, x, slots_R, a_RF.size(0), offsets_E1, w_E2FI, 2 * F,
                                                  StoreSwiglu{a_RF.as<bf16>(), h_R2F.as<bf16>(), static_cast<int>(F)});
}

void grouped_swiglu_gradient(const Place& place, const Tensor& dh_R2F, const Tensor& dy_RO, const Tensor& w_EOF,
                             const Tensor& h_R2F, const Tensor& offsets_E1) {
  const int64_t F = w_EOF.size(2);
  launch<WeightsAlongColumns<AlongColumns<kSwigluColumns>>>(
      place, dy_RO, {}, dy_RO.size(0), offsets_E1, w_EOF, F,
      StoreSwigluGradient{dh_R2F.as<bf16>(), h_R2F.as<bf16>(), static_cast<int>(F)});
}

}  // namespace gptmoe::cuda::hopper
