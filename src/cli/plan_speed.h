#pragma once
// How fast `plan` assumes a run's device and network to be.
#include <memory>
#include <optional>
#include <string>

#include "config/config.h"
#include "predict/gpu_times.h"
#include "predict/network.h"

namespace gptmoe {

// The options of `plan` that set these speeds. An option that is not given is 0 or empty.
struct SpeedOptions {
  std::string gpu;    // one of known_gpus()
  int64_t nodes = 0;  // machines
  // rate: TFLOP/s of large products. link: GB/s that a rank sends within its machine. network: GB/s that a machine
  // sends to others. latency: microseconds that a small collective takes.
  double rate = 0, link = 0, network = 0, latency = 0;
};

// The GPU to predict: the one of --gpu, else the one that `description` (Ops::describe()) names, else the default.
const Gpu& gpu_of(const SpeedOptions& options, const std::string& description);
// Throws UserError if the ranks cannot share the batch of `config` equally, or if the machines of --nodes cannot share
// the ranks equally.
void require_equal_shares(const Config& config, const SpeedOptions& options, int ranks);

class PlanSpeed {
 public:
  // `gpu` comes from gpu_of(). `compute` is the precision of matrix products. `hopper` asks for Hopper's kernels;
  // throws UserError if the GPU cannot run them.
  static PlanSpeed of_gpu(const SpeedOptions& options, const Gpu& gpu, DType compute, bool hopper);
  // `matrix_rate`: FLOP/s of this machine's large products.
  static PlanSpeed of_cpu(const SpeedOptions& options, double matrix_rate);

  bool on_gpu() const { return gpu_.has_value(); }
  const Gpu& gpu() const { return *gpu_; }
  // FLOP/s of the GPU's matrix products in this precision: peak() is the data sheet's, product() that of large
  // matrices.
  double peak() const { return peak_rate(*gpu_, bf16_); }
  double product() const { return product_rate(*gpu_, bf16_); }
  std::unique_ptr<CallTimes> call_times(double live_share) const;
  // require_equal_shares() must have accepted the ranks.
  Network network(int ranks) const;
  // What is assumed, in lines of at most 100 columns.
  std::string assumptions(int ranks) const;

 private:
  explicit PlanSpeed(const SpeedOptions& options) : options_(options) {}

  SpeedOptions options_;
  std::optional<Gpu> gpu_;
  bool bf16_ = false;
  double flops_ = 0, memory_bytes_ = 0;  // of a CPU
};

}  // namespace gptmoe
