#include <algorithm>
#include <cstdint>

#include "kernels/cuda/gemm_plain.cuh"
#include "kernels/cuda/matmul_plain.h"

namespace gptmoe::cuda {
namespace {

// An epilogue (gemm_operand.cuh) that stores the tile or adds it to D. `bias`, unless it is null, is added to each row.
template <typename T>
struct WriteTile {
  static constexpr int kTogether = 1;
  T* to;
  const T* bias;
  int64_t stride;
  int64_t rows, columns;
  bool add;

  template <int kRows, int kCount>
  __device__ void operator()(int row, int step, int column, const float (&values)[kRows][kCount]) const {
    GPTMOE_UNROLL
    for (int i = 0; i < kRows; ++i) {
      const int r = row + i * step;
      if (r >= rows) continue;
      GPTMOE_UNROLL
      for (int j = 0; j < kCount && column + j < columns; ++j) {
        T& element = to[r * stride + column + j];
        const float value = bias ? values[i][j] + to_float(bias[column + j]) : values[i][j];
        element = from_float<T>(add ? to_float(element) + value : value);
      }
    }
  }
};

// The tile's part of `rows` rows of `width` elements: the rows from `first` on if rows run along the depth, else the
// columns from `first` on.
template <Along kAlong, typename T>
__device__ Operand<T, kAlong> operand(const T* data, int64_t rows, int64_t width, int64_t first) {
  if constexpr (kAlong == Along::depth)
    return {data + first * width, width, RowRange(rows - first), 0, width};
  else
    return {data, width, RowRange(rows), first, width};
}

template <typename Out, typename In, Along kA, Along kB>
__global__ void __launch_bounds__(PlainTile::kThreads, PlainTile::kBlocksPerMultiprocessor)
    product_kernel(Out* c, const In* a, const In* b, const Out* bias, int64_t M, int64_t N, int64_t K,
                   int64_t column_tiles, bool add) {
  const int64_t row = blockIdx.x / column_tiles * PlainTile::kRows;
  const int64_t column = blockIdx.x % column_tiles * PlainTile::kColumns;
  const auto left = kA == Along::depth ? operand<kA>(a, M, K, row) : operand<kA>(a, K, M, row);
  const auto right = kB == Along::depth ? operand<kB>(b, N, K, column) : operand<kB>(b, K, N, column);
  PlainTile::multiply(
      left, right, K,
      WriteTile<Out>{c + row * N + column, bias ? bias + column : nullptr, N, M - row, N - column, add});
}

template <Along kA, Along kB, typename Out, typename In>
void launch_product(cudaStream_t stream, const ProductSizes& sizes, Out* c, const In* a, const In* b, const Out* bias,
                    bool add) {
  const auto [M, N, K] = sizes;
  const int64_t column_tiles = ceil_div(N, PlainTile::kColumns), tiles = ceil_div(M, PlainTile::kRows) * column_tiles;
  GPTMOE_CHECK(std::max({M, N, K, tiles}) <= INT32_MAX, M, " x ", K, " x ", N);
  GPTMOE_LAUNCH((product_kernel<Out, In, kA, kB>), static_cast<unsigned>(tiles), PlainTile::kThreads,
                PlainTile::kSharedBytes, stream, c, a, b, bias, M, N, K, column_tiles, add);
}

}  // namespace

void plain_product(cudaStream_t stream, Order order, const Tensor& c, const Tensor& a, const Tensor& b, Write write,
                   const Tensor& bias) {
  with_real(a, [&]<typename In>(In*) {
    with_real(c, [&]<typename Out>(Out*) {
      if constexpr (std::is_same_v<In, Out> || std::is_same_v<Out, float>) {
        const auto launch = [&](auto start) {
          start(stream, product_sizes(order, c, a, b), c.as<Out>(), a.as<In>(), b.as<In>(),
                bias.present() ? bias.as<Out>() : nullptr, write == Write::add);
        };
        switch (order) {
          case Order::nt: return launch(launch_product<Along::depth, Along::depth, Out, In>);
          case Order::nn: return launch(launch_product<Along::depth, Along::tile, Out, In>);
          case Order::tn: return launch(launch_product<Along::tile, Along::tile, Out, In>);
        }
      }
      GPTMOE_CHECK(false, c.describe(), " from ", a.describe());
    });
  });
}

}  // namespace gptmoe::cuda
