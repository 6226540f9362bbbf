#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/expert_product.cuh"
#include "kernels/cuda/swiglu.cuh"

// The grouped products fused with SwiGLU. Compared with separate kernels for product and activation, the forward saves
// reading h, 2 R F elements, and the backward saves writing and reading da, 2 R F.

namespace gptmoe::cuda {
namespace {

// ---- Forward. The columns of a tile alternate between gates and ups (gate f, up f, gate f + 1, ...), so that one
// thread has both the gate and the up of a feature.

// A row source (gemm_operand.cuh) for the weights of the gates and ups of `features` features. A feature's gate and up
// are F rows apart.
struct GatesAndUps {
  int features;
  int64_t F;
  __device__ int64_t row(int i) const { return i / 2 < features ? i / 2 + i % 2 * F : -1; }
};

// `gate` (in h) and `a` (in a) point to the tile's first row and feature. From there, `rows` rows and `features`
// features remain.
template <typename T>
struct SwigluTile {
  static constexpr int kTogether = 2;
  T *gate, *a;
  int64_t F;
  int rows, features;

  template <int kRows, int kCount>
  __device__ void operator()(int row, int step, int column, const float (&values)[kRows][kCount]) const {
    constexpr int kFeatures = kCount / 2;
    const int feature = column / 2;
    GPTMOE_UNROLL
    for (int i = 0; i < kRows; ++i) {
      const int r = row + i * step;
      if (r >= rows || feature >= features) continue;
      Pack<T, kFeatures> gates, ups, products;
      GPTMOE_UNROLL
      for (int j = 0; j < kFeatures; ++j) {
        gates.set(j, values[i][2 * j]);
        ups.set(j, values[i][2 * j + 1]);
        products.set(j, swiglu<T>(values[i][2 * j], values[i][2 * j + 1]));
      }
      gates.store_whole(gate + 2 * F * r + feature);
      ups.store_whole(gate + 2 * F * r + F + feature);
      products.store_whole(a + F * r + feature);
    }
  }
};

template <typename Tile, typename T>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocksPerMultiprocessor)
    swiglu_rows_kernel(T* a_RF, T* h_R2F, RowInput<T> in, const T* weights, const int64_t* offsets_E1, int64_t E,
                       int64_t F, int64_t column_tiles) {
  const auto [rows, column] = BlockTile<Tile>(offsets_E1, E, column_tiles);
  if (rows.count == 0) return;
  const int64_t depth = in.width, feature = column / 2;
  const int features = static_cast<int>(F - feature);
  const T* gates = weights + (rows.expert * 2 * F + feature) * depth;
  const Operand<T, Along::depth, GatesAndUps> b{gates, depth, {features, F}, 0, depth};
  const SwigluTile<T> epilogue{h_R2F + rows.first * 2 * F + feature, a_RF + rows.first * F + feature, F,
                               static_cast<int>(rows.count), features};
  Tile::multiply(in.template rows<Along::depth>(rows.first, rows.count), b, depth, epilogue);
}

// ---- Backward. The tile is da, which is never written to memory.

// `dgate` (in dh) and `gate` (in h) point to the tile's first row and feature. All of h is read before anything is
// written, so that rows do not wait for memory one by one. If dh is h, each thread reads exactly what it overwrites.
template <typename T>
struct SwigluGradientTile {
  static constexpr int kTogether = 1;
  T* dgate;
  const T* gate;
  int64_t F;
  int rows, features;

  template <int kRows, int kCount>
  __device__ void operator()(int row, int step, int column, const float (&da)[kRows][kCount]) const {
    constexpr int kWide = kCount * sizeof(T) > 16 ? 16 / sizeof(T) : kCount;
    constexpr int kPacks = kCount / kWide;
    Pack<T, kWide> gates[kRows][kPacks], ups[kRows][kPacks];
    const auto for_each = [&](auto visit) {
      GPTMOE_UNROLL
      for (int i = 0; i < kRows; ++i) {
        const int r = row + i * step;
        if (r >= rows || column >= features) continue;
        GPTMOE_UNROLL
        for (int j = 0; j < kPacks; ++j) visit(i, j, 2 * F * r + column + j * kWide);
      }
    };
    for_each([&](int i, int j, int64_t at) {
      gates[i][j] = Pack<T, kWide>::load(gate + at);
      ups[i][j] = Pack<T, kWide>::load(gate + F + at);
    });
    for_each([&](int i, int j, int64_t at) {
      GPTMOE_UNROLL
      for (int k = 0; k < kWide; ++k) {
        const SwigluGradient dh = swiglu_gradient<T>(da[i][j * kWide + k], gates[i][j][k], ups[i][j][k]);
        gates[i][j].set(k, dh.gate);
        ups[i][j].set(k, dh.up);
      }
      gates[i][j].store_whole(dgate + at);
      ups[i][j].store_whole(dgate + F + at);
    });
  }
};

template <typename Tile, typename T>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocksPerMultiprocessor)
    swiglu_gradient_kernel(T* dh_R2F, RowInput<T> dy, const T* weights, const T* h_R2F, const int64_t* offsets_E1,
                           int64_t E, int64_t F, int64_t column_tiles) {
  const auto [rows, column] = BlockTile<Tile>(offsets_E1, E, column_tiles);
  if (rows.count == 0) return;
  const int64_t depth = dy.width, at = rows.first * 2 * F + column;
  const Operand<T, Along::tile> b{weights + rows.expert * depth * F, F, RowRange(depth), column, F};
  const SwigluGradientTile<T> epilogue{dh_R2F + at, h_R2F + at, F, static_cast<int>(rows.count),
                                       static_cast<int>(F - column)};
  Tile::multiply(dy.template rows<Along::depth>(rows.first, rows.count), b, depth, epilogue);
}

}  // namespace

void CudaKernels::grouped_swiglu_forward(const Tensor& a_RF, const Tensor& h_R2F, const Tensor& x, const Tensor& w_E2FI,
                                         const Tensor& offsets_E1, const Tensor& slots_R) {
  const int64_t R = a_RF.size(0), F = a_RF.size(1), I = x.size(1), E = w_E2FI.size(0);
  const int64_t* offsets = offsets_E1.as<int64_t>();
  with_real(a_RF, [&]<typename T>(T*) {
    T *a = a_RF.as<T>(), *h = h_R2F.as<T>();
    const T* w = w_E2FI.as<T>();
    const RowInput<T> in(x, slots_R, R);
    with_tile<T>(
        2 * F, I,
        [&]<typename Tile>(Tile) {
          const int64_t columns = ceil_div(2 * F, Tile::kColumns);
          GPTMOE_LAUNCH((swiglu_rows_kernel<Tile, T>), blocks_for_rows<Tile>(R, E, columns), Tile::kThreads,
                        Tile::kSharedBytes, stream_, a, h, in, w, offsets, E, F, columns);
        },
        a, h, in.x, w);
  });
}

void CudaKernels::grouped_swiglu_backward(const Tensor& dh_R2F, const Tensor& dy_RO, const Tensor& w_EOF,
                                          const Tensor& h_R2F, const Tensor& offsets_E1) {
  const int64_t R = dy_RO.size(0), O = dy_RO.size(1), E = w_EOF.size(0), F = w_EOF.size(2);
  const int64_t* offsets = offsets_E1.as<int64_t>();
  with_real(dh_R2F, [&]<typename T>(T*) {
    T* dh = dh_R2F.as<T>();
    const T *w = w_EOF.as<T>(), *h = h_R2F.as<T>();
    const RowInput<T> dy(dy_RO, {}, R);
    with_tile<T>(
        O, F,
        [&]<typename Tile>(Tile) {
          const int64_t columns = ceil_div(F, Tile::kColumns);
          GPTMOE_LAUNCH((swiglu_gradient_kernel<Tile, T>), blocks_for_rows<Tile>(R, E, columns), Tile::kThreads,
                        Tile::kSharedBytes, stream_, dh, dy, w, h, offsets, E, F, columns);
        },
        dh, dy.x, w, h);
  });
}

}  // namespace gptmoe::cuda
