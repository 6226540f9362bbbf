#pragma once
// The time of matrix products that are computed tile by tile.
#include <cstdint>
#include <string>

#include "predict/gpu.h"

namespace gptmoe {

struct ProductSize {
  double rows, columns, depth;  // of one product
  int64_t products = 1;         // of this size, computed together
  bool packed = true;           // the rows of all operands in memory are multiples of cuda::kVector elements
};

// The seconds of a product of cuBLASLt. cuBLASLt chooses the best size of tiles. If the tiles are too few for the GPU,
// it cuts the depth into parts, whose partial sums pass through its workspace. In bf16, it has only slow kernels for
// operands that are not packed.
double library_product_seconds(const Gpu& gpu, const ProductSize& size, bool bf16);

// The seconds of our grouped products. They use tensor cores for packed operands in bf16 (kernels/cuda/gemm_tile.cuh),
// and f32 arithmetic otherwise (gemm_plain.cuh). `extra_depth`: the time of the work around a tile's main loop, as the
// depth that the main loop would handle in that time.
double expert_product_seconds(const Gpu& gpu, const ProductSize& size, double extra_depth, bool bf16);

// The tiles of Hopper's kernels for grouped products: 128 rows, this many columns, 64 deep in each stage. A
// multiprocessor has one block, which loads the next tile while it stores the results of the last one.
struct HopperTiles {
  int columns, stages;

  std::string describe() const;  // "128 x 256 x 64, 4 stages, 192 KiB"
};
constexpr HopperTiles kWideHopperTiles{256, 4}, kNarrowHopperTiles{128, 6};
// The tiles for products of this width, except SwiGLU's and its gradient's, which are always narrow.
constexpr HopperTiles hopper_tiles(int64_t width) {
  return width % 256 > 0 && width % 256 <= 128 ? kNarrowHopperTiles : kWideHopperTiles;
}
// The seconds of a grouped product by Hopper's kernels; `extra_depth` as above.
double hopper_product_seconds(const Gpu& gpu, const ProductSize& size, const HopperTiles& tiles, double extra_depth);

// The shares of a rate that main loops reach: an expert product's, of the rate of mma.sync; cuBLASLt's, of the rate of
// large products.
constexpr double kExpertMainLoop = 0.83, kLibraryMainLoop = 0.88;
// The share of Hopper's kernels, of the rate of large products. This is assumed.
constexpr double kHopperMainLoop = 0.8;
// The rate of cuBLASLt's products in bf16 whose operands are not packed, relative to packed ones. This is assumed.
constexpr double kUnpackedShare = 1.0 / 3;

}  // namespace gptmoe
