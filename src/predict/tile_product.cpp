#include "predict/tile_product.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "kernels/cuda_limits.h"

namespace gptmoe {
namespace {

struct Tile {
  int rows, columns;
  int per_multiprocessor;
  double share;        // the share of the rate that the main loop reaches
  double extra_depth;  // as in expert_product_seconds()
};

// All tiles take the same time, so the last round of tiles may leave multiprocessors without work.
double tiles_seconds(const Gpu& gpu, const Tile& tile, const ProductSize& size, double rate) {
  const double tiles =
      static_cast<double>(size.products) * std::ceil(size.rows / tile.rows) * std::ceil(size.columns / tile.columns);
  const double slots = static_cast<double>(gpu.multiprocessors) * tile.per_multiprocessor;
  const double tile_flops = 2.0 * tile.rows * tile.columns * (size.depth + tile.extra_depth);
  return std::ceil(tiles / slots) * slots * tile_flops / (tile.share * rate);
}

}  // namespace

double library_product_seconds(const Gpu& gpu, const ProductSize& size, bool bf16) {
  // Large tiles read less per product; smaller ones fill the GPU better.
  constexpr std::array<Tile, 4> kTiles = {{{128, 256, 1, kLibraryMainLoop, 128},
                                           {256, 128, 1, kLibraryMainLoop, 128},
                                           {128, 128, 1, 0.8, 128},
                                           {64, 128, 2, 0.65, 128}}};
  constexpr double kLeastDepth = 1024;  // the minimum depth of a part, if the depth is cut
  const double rate = (bf16 && !size.packed ? kUnpackedShare : 1) * product_rate(gpu, bf16);
  double best = 1e30;
  for (const Tile& tile : kTiles)
    for (int parts = 1; parts <= 8; parts *= 2) {
      const double partials = parts * sizeof(float) * size.rows * size.columns * static_cast<double>(size.products);
      if (parts > 1 && (size.depth / parts < kLeastDepth || partials > cuda::kMatmulWorkspaceBytes)) break;
      const ProductSize part{size.rows, size.columns, size.depth / parts, parts * size.products};
      const double sums = parts > 1 ? 2 * partials / gpu.copy_bytes : 0;
      best = std::min(best, tiles_seconds(gpu, tile, part, rate) + sums);
    }
  return best;
}

double expert_product_seconds(const Gpu& gpu, const ProductSize& size, double extra_depth, bool bf16) {
  const Tile tile{128, 128, 2, kExpertMainLoop, extra_depth};
  const bool tensor_cores = bf16 && size.packed;
  return tiles_seconds(gpu, tile, size, tensor_cores ? gpu.mma_share * gpu.product_flops : gpu.vector_product_flops);
}

std::string HopperTiles::describe() const {
  constexpr int kRows = 128, kDepth = 64, kElement = 2;
  return text(kRows, " x ", columns, " x ", kDepth, ", ", stages, " stages, ",
              stages * (kRows + columns) * kDepth * kElement / 1024, " KiB");
}

double hopper_product_seconds(const Gpu& gpu, const ProductSize& size, const HopperTiles& tiles, double extra_depth) {
  return tiles_seconds(gpu, {128, tiles.columns, 1, kHopperMainLoop, extra_depth}, size, gpu.product_flops);
}

}  // namespace gptmoe
