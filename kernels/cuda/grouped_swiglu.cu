#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/expert_product.cuh"
#include "kernels/cuda/hopper/grouped_products.h"
#include "kernels/cuda/swiglu_tiles.cuh"

// The grouped products fused with SwiGLU. Compared with separate kernels for product and activation, the forward saves
// reading h, 2 R F elements, and the backward saves writing and reading da, 2 R F.

namespace gptmoe::cuda {
namespace {

// A row source (gemm_operand.cuh) for the weights of the gates and ups of `features` features. A feature's gate and up
// are F rows apart.
struct GatesAndUps {
  int features;
  int64_t F;
  __device__ int64_t row(int i) const { return i / 2 < features ? i / 2 + i % 2 * F : -1; }
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
  if (hopper_ && hopper::takes_grouped(a_RF.dtype(), F, I, a_RF, h_R2F, x, w_E2FI))
    return hopper::grouped_swiglu_rows({stream_, multiprocessors_}, a_RF, h_R2F, x, w_E2FI, offsets_E1, slots_R);
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
  if (hopper_ && hopper::takes_grouped(dy_RO.dtype(), O, F, dh_R2F, dy_RO, w_EOF, h_R2F))
    return hopper::grouped_swiglu_gradient({stream_, multiprocessors_}, dh_R2F, dy_RO, w_EOF, h_R2F, offsets_E1);
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
