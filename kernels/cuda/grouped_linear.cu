#include "kernels/cuda/cuda_ops.h"
#include "kernels/cuda/expert_tiles.cuh"
#include "kernels/cuda/gemm_plain.cuh"
#include "kernels/cuda/gemm_tile.cuh"

// 2 R I O floating-point operations each. Blocks that run at the same time are the column tiles of a few row tiles of
// one expert, so that its weights are read from memory once and from the cache by its other row tiles.

namespace gptmoe::cuda {
namespace {

// out (R, width) = in (R, depth) times, for each row, its expert's weights: Along::depth for weights of (width, depth),
// Along::tile for (depth, width).
template <typename Tile, typename T, Along kWeights>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocksPerMultiprocessor)
    rows_kernel(T* out, const T* in, const T* weights, const int64_t* offsets_E1, int64_t E, int64_t width,
                int64_t depth, int64_t column_tiles) {
  const RowTile tile = find_row_tile(offsets_E1, E, Tile::kRows, blockIdx.x / column_tiles);
  if (tile.count == 0) return;
  const int64_t column = blockIdx.x % column_tiles * Tile::kColumns;
  const T* expert = weights + tile.expert * width * depth;
  const Operand<T, Along::depth> a{in, depth, {tile.first, tile.count}, 0, depth};
  const StoreTile<T> epilogue{out + tile.first * width + column, width, tile.count, width - column};
  if constexpr (kWeights == Along::depth)
    Tile::multiply(a, Operand<T, Along::depth>{expert, depth, {column, width - column}, 0, depth}, depth, epilogue);
  else
    Tile::multiply(a, Operand<T, Along::tile>{expert, width, {0, depth}, column, width}, depth, epilogue);
}

// dy^T x over each expert's rows, in their order. kWhole: added to dw, (E, O, I). Otherwise blocks in z take an equal
// part of every expert's rows each and write to theirs of (splits, E, O, I).
template <typename Tile, typename T, bool kWhole>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocksPerMultiprocessor)
    weights_kernel(float* dw, const T* dy_RO, const T* x_RI, const int64_t* offsets_E1, int64_t E, int64_t O, int64_t I,
                   int64_t o_tiles, int64_t i_tiles) {
  const int64_t i = blockIdx.x % i_tiles * Tile::kColumns, o = blockIdx.x / i_tiles % o_tiles * Tile::kRows;
  const int64_t expert = blockIdx.x / (i_tiles * o_tiles);
  const int64_t begin = offsets_E1[expert], rows = offsets_E1[expert + 1] - begin;
  const int64_t part = kWhole ? rows : ceil_div(rows, gridDim.z), skipped = blockIdx.z * part;
  const int64_t count = skipped + part <= rows ? part : skipped < rows ? rows - skipped : 0;
  if (kWhole && count == 0) return;
  const Operand<T, Along::tile> a{dy_RO, O, {begin + skipped, count}, o, O}, b{x_RI, I, {begin + skipped, count}, i, I};
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

// Calls visit with the tile for these operands.
template <typename T, typename Visit, typename... Pointers>
void with_tile(int64_t O, int64_t I, Visit visit, const Pointers*... tensors) {
  const bool aligned = (... && (reinterpret_cast<uintptr_t>(tensors) % 16 == 0));
  if constexpr (std::is_same_v<T, bf16>)
    if (O % 8 == 0 && I % 8 == 0 && aligned) return visit(TensorTile{});
  visit(PlainTile{});
}

template <Along kWeights, typename T>
void multiply_rows(cudaStream_t stream, T* out, const T* in, const T* weights, const int64_t* offsets, int64_t R,
                   int64_t E, int64_t width, int64_t depth) {
  with_tile<T>(
      width, depth,
      [&]<typename Tile>(Tile) {
        const int64_t columns = ceil_div(width, Tile::kColumns), rows = most_row_tiles(R, E, Tile::kRows);
        GPTMOE_LAUNCH((rows_kernel<Tile, T, kWeights>), static_cast<unsigned>(columns * rows), Tile::kThreads,
                      Tile::kSharedBytes, stream, out, in, weights, offsets, E, width, depth, columns);
      },
      out, in, weights);
}

}  // namespace

void CudaOps::grouped_linear_forward(const Tensor& y_RO, const Tensor& x_RI, const Tensor& w_EOI,
                                     const Tensor& offsets_E1) {
  const int64_t R = y_RO.size(0), O = y_RO.size(1), I = x_RI.size(1), E = w_EOI.size(0);
  GPTMOE_CHECK(
      y_RO.rank() == 2 && x_RI.has_sizes({R, I}) && w_EOI.has_sizes({E, O, I}) && offsets_E1.has_sizes({E + 1}),
      y_RO.describe(), " from ", x_RI.describe(), ", ", w_EOI.describe(), ", ", offsets_E1.describe());
  with_real(y_RO, [&]<typename T>(T*) {
    multiply_rows<Along::depth, T>(stream_, y_RO.as<T>(), x_RI.as<T>(), w_EOI.as<T>(), offsets_E1.as<int64_t>(), R, E,
                                   O, I);
  });
}

void CudaOps::grouped_linear_backward_input(const Tensor& dx_RI, const Tensor& dy_RO, const Tensor& w_EOI,
                                            const Tensor& offsets_E1) {
  const int64_t R = dx_RI.size(0), I = dx_RI.size(1), O = dy_RO.size(1), E = w_EOI.size(0);
  GPTMOE_CHECK(
      dx_RI.rank() == 2 && dy_RO.has_sizes({R, O}) && w_EOI.has_sizes({E, O, I}) && offsets_E1.has_sizes({E + 1}),
      dx_RI.describe(), " from ", dy_RO.describe(), ", ", w_EOI.describe(), ", ", offsets_E1.describe());
  with_real(dx_RI, [&]<typename T>(T*) {
    multiply_rows<Along::tile, T>(stream_, dx_RI.as<T>(), dy_RO.as<T>(), w_EOI.as<T>(), offsets_E1.as<int64_t>(), R, E,
                                  I, O);
  });
}

void CudaOps::grouped_linear_backward_weight(const Tensor& dw_EOI, const Tensor& dy_RO, const Tensor& x_RI,
                                             const Tensor& offsets_E1) {
  const int64_t E = dw_EOI.size(0), O = dw_EOI.size(1), I = dw_EOI.size(2), R = dy_RO.size(0);
  GPTMOE_CHECK(dw_EOI.rank() == 3 && dy_RO.has_sizes({R, O}) && x_RI.has_sizes({R, I}) && offsets_E1.has_sizes({E + 1}),
               dw_EOI.describe(), " from ", dy_RO.describe(), ", ", x_RI.describe(), ", ", offsets_E1.describe());
  float* dw = dw_EOI.as<float>();
  const int64_t* offsets = offsets_E1.as<int64_t>();
  with_real(dy_RO, [&]<typename T>(T*) {
    const T *dy = dy_RO.as<T>(), *x = x_RI.as<T>();
    with_tile<T>(
        O, I,
        [&]<typename Tile>(Tile) {
          const int64_t o_tiles = ceil_div(O, Tile::kRows), i_tiles = ceil_div(I, Tile::kColumns);
          const int64_t tiles = E * o_tiles * i_tiles, count = E * O * I;
          if (tiles == 0 || R == 0) return;
          // Small models have too few tiles to fill the device: their rows are shared out too.
          const int64_t wanted = int64_t{Tile::kBlocksPerMultiprocessor} * multiprocessors_ / tiles;
          const int64_t splits = std::min(wanted, ceil_div(R, 8 * Tile::kDepth));
          const auto launch = [&]<bool kWhole>(std::bool_constant<kWhole>, float* to, int64_t z) {
            GPTMOE_LAUNCH((weights_kernel<Tile, T, kWhole>),
                          dim3(static_cast<unsigned>(tiles), 1, static_cast<unsigned>(z)), Tile::kThreads,
                          Tile::kSharedBytes, stream_, to, dy, x, offsets, E, O, I, o_tiles, i_tiles);
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
        dw, dy, x);
  });
}

}  // namespace gptmoe::cuda
