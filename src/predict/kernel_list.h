#pragma once
// Collects the kernels of one call. Each function that returns nothing adds one kernel. Most of them are named after
// what limits the kernel.
#include <algorithm>
#include <cmath>

#include "kernels/cuda_limits.h"
#include "predict/kernel_estimate.h"
#include "predict/tile_product.h"

namespace gptmoe {

class KernelList {
 public:
  KernelList(const OpCall& call, const Gpu& gpu, double live_share)
      : call_(call), gpu_(gpu), live_share_(live_share), bf16_(call.compute_dtype() == DType::bf16) {}

  // Reads and writes `bytes` in order. The default is what the call must move.
  void stream(std::string name) { stream(std::move(name), bytes()); }
  void stream(std::string name, double bytes, int64_t launches = 1);
  // Reads and writes `bytes` in order, but one element at a time. Kernels do so if rows do not divide into packs of 16
  // bytes.
  void stream_elements(std::string name, double bytes);
  void gather(std::string name) { gather(std::move(name), bytes()); }
  void gather(std::string name, double bytes);
  // Computes on ordinary cores while it moves `bytes`.
  void vector(std::string name, double flops, double bytes);
  // Few blocks that load `trips` times one after another.
  void chain(std::string name, double trips, double bytes = 0);
  // column_sums() adds `rows` rows of partial sums to `width` results, and finish_sum() adds partial sums to one number
  // (kernels/cuda/sums.cu).
  void column_sums(double width, double rows);
  void finish_sum() { chain("finish_sum", 3); }
  void library_product(std::string name, const ProductSize& size, double bytes, int64_t launches = 1);
  void expert_product(std::string name, const ProductSize& size, double extra_depth, double flops, double bytes);
  void hopper_product(std::string name, const ProductSize& size, const HopperTiles& tiles, double extra_depth,
                      double flops, double bytes);
  // `share`: of the rate of mma.sync.
  void attention(std::string name, double flops, double bytes, double share);
  // `share`: of the rate of large products.
  void hopper_attention(std::string name, double flops, double bytes, double share, std::string tiles);

  const OpCall& call() const { return call_; }
  const Gpu& gpu() const { return gpu_; }
  bool bf16() const { return bf16_; }
  // Whether rows of both widths are packed (ProductSize).
  static bool packed(double one, double other) {
    return std::fmod(one, cuda::kVector) == 0 && std::fmod(other, cuda::kVector) == 0;
  }
  bool hopper() const { return gpu_.hopper_kernels && bf16_; }
  double live_share() const { return live_share_; }
  double bytes() const { return call_.bytes(live_share_); }
  double flops() const { return call_.flops(live_share_); }
  double size(char letter) const { return static_cast<double>(call_.size(letter)); }
  // Bytes of a tensor, read or written once.
  double bytes_of(std::string_view name) const { return static_cast<double>(call_.tensor(name).bytes()); }
  // The number of rows of partial sums if each block takes at least `each` of `items` (CudaKernels::partials()).
  double partial_rows(double items, double each) const {
    return std::max(1.0, std::min(items / each, 4.0 * gpu_.multiprocessors));
  }

  std::vector<KernelEstimate> take() { return std::move(kernels_); }

 private:
  void add(std::string name, Limit limit, double flops, double bytes, double seconds, int64_t launches = 1,
           std::string tiles = {});

  const OpCall& call_;
  const Gpu& gpu_;
  double live_share_;
  bool bf16_;
  std::vector<KernelEstimate> kernels_;
};

// The ops that multiply matrices, and attention. Returns whether the call is one of them.
bool add_product_kernels(KernelList& list);

}  // namespace gptmoe
