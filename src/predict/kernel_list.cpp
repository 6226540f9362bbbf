#include "predict/kernel_list.h"

namespace gptmoe {
namespace {

// Shares of the bandwidth of a large copy, and of the f32 rate of ordinary cores.
constexpr double kStreamShare = 0.9, kElementsShare = 0.45, kGatherShare = 0.8, kProductTrafficShare = 0.8,
                 kVectorShare = 0.5;
// The shortest kernel: its blocks start, load, compute and store.
constexpr double kShortestTrips = 3;

std::string percent(double share) { return std::to_string(static_cast<int>(100 * share + 0.5)) + "%"; }

}  // namespace

const char* limit_name(Limit limit) {
  switch (limit) {
    case Limit::library_product: return "cuBLASLt's products";
    case Limit::expert_product: return "experts' products";
    case Limit::attention: return "attention";
    case Limit::hopper_product: return "Hopper's products";
    case Limit::hopper_attention: return "Hopper's attention";
    case Limit::stream: return "streaming";
    case Limit::gather: return "gathering";
    case Limit::vector: return "arithmetic";
    case Limit::chain: return "chains of loads";
  }
  return "";
}

std::string limit_reason(Limit limit) {
  switch (limit) {
    case Limit::library_product:
      return percent(kLibraryMainLoop) +
             " of the rate of large products; less if the tiles do not fill the GPU or the sums are short; a third "
             "in bf16 for widths that are not multiples of " +
             std::to_string(cuda::kVector);
    case Limit::expert_product:
      return percent(kExpertMainLoop) +
             " of the rate of mma.sync, since reads of shared memory take nearly as long as the products; less for "
             "short sums and experts' last rows; in f32, and for widths that are not multiples of " +
             std::to_string(cuda::kVector) + ", of the rate of large products in f32";
    case Limit::attention:
      return "59 to 66% of the rate of mma.sync for long sequences and 51 to 57% for 2,048 positions, like "
             "FlashAttention-2 on an H100 (non-causal); the backward pass computes 7 products, of which the model "
             "needs 4";
    case Limit::hopper_product:
      return percent(kHopperMainLoop) +
             " of the rate of large products; less for short sums, experts' last rows and the last round of tiles";
    case Limit::hopper_attention:
      return "50% of the rate of large products for heads of 64, where exponentials take as long as products, and 65% "
             "(forward) or 60% for heads of 128; 43 to 56% for 2,048 positions; the backward pass computes 7 "
             "products, of which the model needs 4";
    case Limit::stream:
      return percent(kStreamShare) +
             " of a large copy's bandwidth; half of it for logits in rows that do not divide "
             "into packs of 16 bytes";
    case Limit::gather: return percent(kGatherShare) + " of a large copy's bandwidth: loads wait for indices";
    case Limit::vector:
      return percent(kVectorShare) + " of the f32 rate of ordinary cores, or gathering if that is slower";
    case Limit::chain: return "few blocks, whose loads wait for each other";
  }
  return "";
}

void KernelList::add(std::string name, Limit limit, double flops, double bytes, double seconds, int64_t launches,
                     std::string tiles) {
  const double least = kShortestTrips * gpu_.trip * static_cast<double>(launches);
  kernels_.push_back({std::move(name), limit, launches, flops, bytes, std::max(seconds, least), std::move(tiles)});
}

void KernelList::stream(std::string name, double bytes, int64_t launches) {
  add(std::move(name), Limit::stream, 0, bytes, bytes / (kStreamShare * gpu_.copy_bytes), launches);
}

void KernelList::stream_elements(std::string name, double bytes) {
  add(std::move(name), Limit::stream, 0, bytes, bytes / (kElementsShare * gpu_.copy_bytes));
}

void KernelList::gather(std::string name, double bytes) {
  add(std::move(name), Limit::gather, 0, bytes, bytes / (kGatherShare * gpu_.copy_bytes));
}

void KernelList::vector(std::string name, double flops, double bytes) {
  add(std::move(name), Limit::vector, flops, bytes,
      std::max(flops / (kVectorShare * gpu_.vector_flops), bytes / (kGatherShare * gpu_.copy_bytes)));
}

void KernelList::chain(std::string name, double trips, double bytes) {
  add(std::move(name), Limit::chain, 0, bytes,
      std::max((kShortestTrips + trips) * gpu_.trip, bytes / (kGatherShare * gpu_.copy_bytes)));
}

// 16 lanes divide the rows of a column, and each has about four loads under way.
void KernelList::column_sums(double width, double rows) {
  constexpr double kRowsPerTrip = 16 * 4;
  chain("add_column_sums", rows / kRowsPerTrip, sizeof(float) * width * (rows + 2));
}

void KernelList::library_product(std::string name, const ProductSize& size, double bytes, int64_t launches) {
  const double flops = 2 * size.rows * size.columns * size.depth;
  const auto times = static_cast<double>(launches);
  add(std::move(name), Limit::library_product, times * flops, bytes,
      std::max(times * library_product_seconds(gpu_, size, bf16_), bytes / (kProductTrafficShare * gpu_.copy_bytes)),
      launches);
}

void KernelList::expert_product(std::string name, const ProductSize& size, double extra_depth, double flops,
                                double bytes) {
  add(std::move(name), Limit::expert_product, flops, bytes,
      std::max(expert_product_seconds(gpu_, size, extra_depth, bf16_),
               bytes / (kProductTrafficShare * gpu_.copy_bytes)));
}

void KernelList::hopper_product(std::string name, const ProductSize& size, const HopperTiles& tiles, double extra_depth,
                                double flops, double bytes) {
  add(std::move(name), Limit::hopper_product, flops, bytes,
      std::max(hopper_product_seconds(gpu_, size, tiles, extra_depth),
               bytes / (kProductTrafficShare * gpu_.copy_bytes)),
      1, tiles.describe());
}

void KernelList::hopper_attention(std::string name, double flops, double bytes, double share, std::string tiles) {
  add(std::move(name), Limit::hopper_attention, flops, bytes,
      std::max(flops / (share * gpu_.product_flops), bytes / (kGatherShare * gpu_.copy_bytes)), 1, std::move(tiles));
}

void KernelList::attention(std::string name, double flops, double bytes, double share) {
  add(std::move(name), Limit::attention, flops, bytes,
      std::max(flops / (share * gpu_.mma_share * gpu_.product_flops), bytes / (kGatherShare * gpu_.copy_bytes)));
}

}  // namespace gptmoe
