#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/expert_product.cuh"
#include "kernels/cuda/hopper/grouped_products.h"

// Each op takes 2 R I O floating-point operations. Blocks that run at the same time compute the column tiles of a few
// row tiles of one expert. So the expert's weights are read from memory once, and the other row tiles find them in the
// cache.

namespace gptmoe::cuda {
namespace {

// Sets each row of `out` (R, width) to the same row of `in` (R, depth) times the weights of the row's expert. kWeights
// is Along::depth for weights of (width, depth) and Along::tile for weights of (depth, width).
template <typename Tile, typename T, Along kWeights>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocksPerMultiprocessor)
    rows_kernel(T* out, RowInput<T> in, const T* weights, const int64_t* offsets_E1, int64_t E, int64_t width,
                int64_t column_tiles) {
  const auto [rows, column] = BlockTile<Tile>(offsets_E1, E, column_tiles);
  if (rows.count == 0) return;
  const int64_t depth = in.width;
  const T* expert = weights + rows.expert * width * depth;
  const auto a = in.template rows<Along::depth>(rows.first, rows.count);
  const StoreTile<T> epilogue{out + rows.first * width + column, width, static_cast<int>(rows.count),
                              static_cast<int>(width - column)};
  if constexpr (kWeights == Along::depth)
    Tile::multiply(a, Operand<T, Along::depth>{expert + column * depth, depth, RowRange(width - column), 0, depth},
                   depth, epilogue);
  else
    Tile::multiply(a, Operand<T, Along::tile>{expert, width, RowRange(depth), column, width}, depth, epilogue);
}

// Computes dy^T x over each expert's rows, in their order. With kWhole, the result is added to dw (E, O, I). Otherwise
// every expert's rows are cut into `splits` equal parts; blockIdx.z selects one, and its result goes to dw[blockIdx.z],
// where dw is (splits, E, O, I).
template <typename Tile, typename T, bool kWhole>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocksPerMultiprocessor)
    weights_kernel(float* dw, const T* dy_RO, RowInput<T> x, const int64_t* offsets_E1, int64_t E, int O, int I,
                   int o_tiles, int i_tiles) {
  // Widths are int, since registers are scarce here.
  const int block = static_cast<int>(blockIdx.x), expert = block / (i_tiles * o_tiles);
  const int i = block % i_tiles * Tile::kColumns, o = block / i_tiles % o_tiles * Tile::kRows;
  const int64_t begin = offsets_E1[expert], rows = offsets_E1[expert + 1] - begin;
  const int64_t part = kWhole ? rows : ceil_div(rows, gridDim.z), skipped = blockIdx.z * part;
  const int64_t count = skipped + part <= rows ? part : skipped < rows ? rows - skipped : 0;
  if (kWhole && count == 0) return;
  const Operand<T, Along::tile> a{dy_RO + (begin + skipped) * O, O, RowRange(count), o, O};
  const auto b = x.template rows<Along::tile>(begin + skipped, count, i);
  using Epilogue = std::conditional_t<kWhole, AddTile, StoreTile<float>>;
  Tile::multiply(a, b, count, Epilogue{dw + ((blockIdx.z * E + expert) * O + o) * I + i, I, O - o, I - i});
}

template <int N>
__global__ void add_partials_kernel(float* dw, const float* partials, int64_t splits, int64_t count) {
  const int64_t at = (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * N;
  if (at >= count) return;
  auto sum = Pack<float, N>::load(partials + at);
  for (int64_t split = 1; split < splits; ++split) {
    const auto part = Pack<float, N>::load(partials + split * count + at);
    for (int i = 0; i < N; ++i) sum.element[i] += part.element[i];
  }
  const auto old = Pack<float, N>::load(dw + at);
  for (int i = 0; i < N; ++i) sum.element[i] += old.element[i];
  sum.store(dw + at);
}

template <Along kWeights, typename T>
void multiply_rows(cudaStream_t stream, T* out, const RowInput<T>& in, const T* weights, const int64_t* offsets,
                   int64_t R, int64_t E, int64_t width) {
  with_tile<T>(
      width, in.width,
      [&]<typename Tile>(Tile) {
        const int64_t columns = ceil_div(width, Tile::kColumns);
        GPTMOE_LAUNCH((rows_kernel<Tile, T, kWeights>), blocks_for_rows<Tile>(R, E, columns), Tile::kThreads,
                      Tile::kSharedBytes, stream, out, in, weights, offsets, E, width, columns);
      },
      out, in.x, weights);
}

}  // namespace

void CudaKernels::grouped_linear_forward(const Tensor& y_RO, const Tensor& x, const Tensor& w_EOI,
                                         const Tensor& offsets_E1, const Tensor& slots_R) {
  const int64_t R = y_RO.size(0), O = y_RO.size(1), E = w_EOI.size(0);
  if (hopper_ && hopper::takes_grouped(y_RO.dtype(), O, x.size(1), y_RO, x, w_EOI))
    return hopper::grouped_rows({stream_, multiprocessors_}, y_RO, x, w_EOI, offsets_E1, slots_R);
  with_real(y_RO, [&]<typename T>(T*) {
    multiply_rows<Along::depth, T>(stream_, y_RO.as<T>(), {x, slots_R, R}, w_EOI.as<T>(), offsets_E1.as<int64_t>(), R,
                                   E, O);
  });
}

void CudaKernels::grouped_linear_backward_input(const Tensor& dx_RI, const Tensor& dy_RO, const Tensor& w_EOI,
                                                const Tensor& offsets_E1) {
  const int64_t R = dx_RI.size(0), I = dx_RI.size(1), E = w_EOI.size(0);
  if (hopper_ && hopper::takes_grouped(dx_RI.dtype(), dy_RO.size(1), I, dx_RI, dy_RO, w_EOI))
    return hopper::grouped_rows_gradient({stream_, multiprocessors_}, dx_RI, dy_RO, w_EOI, offsets_E1);
  with_real(dx_RI, [&]<typename T>(T*) {
    multiply_rows<Along::tile, T>(stream_, dx_RI.as<T>(), {dy_RO, {}, R}, w_EOI.as<T>(), offsets_E1.as<int64_t>(), R, E,
                                  I);
  });
}

void CudaKernels::grouped_linear_backward_weight(const Tensor& dw_EOI, const Tensor& dy_RO, const Tensor& x,
                                                 const Tensor& offsets_E1, const Tensor& slots_R) {
  const int64_t E = dw_EOI.size(0), O = dw_EOI.size(1), I = dw_EOI.size(2), R = dy_RO.size(0);
  if (hopper_ && hopper::takes_grouped(dy_RO.dtype(), O, I, dw_EOI, dy_RO, x) &&
      hopper::fills_gpu(E, O, I, multiprocessors_))
    return hopper::grouped_weights({stream_, multiprocessors_}, dw_EOI, dy_RO, x, offsets_E1, slots_R);
  float* dw = dw_EOI.as<float>();
  const int64_t* offsets = offsets_E1.as<int64_t>();
  with_real(dy_RO, [&]<typename T>(T*) {
    const T* dy = dy_RO.as<T>();
    const RowInput<T> in(x, slots_R, R);
    with_tile<T>(
        O, I,
        [&]<typename Tile>(Tile) {
          const int64_t o_tiles = ceil_div(O, Tile::kRows), i_tiles = ceil_div(I, Tile::kColumns);
          const int64_t tiles = E * o_tiles * i_tiles, count = E * O * I;
          if (tiles == 0 || R == 0) return;
          // Small models have too few tiles to fill the device, so the experts' rows are split too.
          const int64_t wanted = int64_t{Tile::kBlocksPerMultiprocessor} * multiprocessors_ / tiles;
          const int64_t splits = std::min(wanted, ceil_div(R, 8 * Tile::kDepth));
          const auto launch = [&]<bool kWhole>(std::bool_constant<kWhole>, float* to, int64_t z) {
            GPTMOE_LAUNCH((weights_kernel<Tile, T, kWhole>),
                          dim3(static_cast<unsigned>(tiles), 1, static_cast<unsigned>(z)), Tile::kThreads,
                          Tile::kSharedBytes, stream_, to, dy, in, offsets, E, O, I, o_tiles, i_tiles);
          };
          if (splits <= 1) return launch(std::true_type{}, dw, 1);
          const Partials parts = partials(count, splits);
          launch(std::false_type{}, parts.data, parts.rows);
          with_pack<float>(
              count,
              [&]<int N>(std::integral_constant<int, N>) {
                constexpr int kThreads = 256;
                GPTMOE_LAUNCH((add_partials_kernel<N>), static_cast<unsigned>(ceil_div(count / N, kThreads)), kThreads,
                              0, stream_, dw, parts.data, parts.rows, count);
              },
              dw);
        },
        dw, dy, in.x);
  });
}

}  // namespace gptmoe::cuda
