#include "predict/gpu_times.h"

#include <algorithm>

namespace gptmoe {
namespace {

double gaps_of(const std::vector<KernelEstimate>& kernels, const Gpu& gpu) {
  double launches = 0;
  for (const KernelEstimate& kernel : kernels) launches += static_cast<double>(kernel.launches);
  return launches * gpu.launch_gap;
}

double seconds_of(const std::vector<KernelEstimate>& kernels) {
  double seconds = 0;
  for (const KernelEstimate& kernel : kernels) seconds += kernel.seconds;
  return seconds;
}

void add(std::vector<KernelEstimate>& sums, const std::vector<KernelEstimate>& kernels, double times) {
  for (const KernelEstimate& kernel : kernels) {
    auto sum = std::find_if(sums.begin(), sums.end(), [&](const auto& other) { return other.name == kernel.name; });
    if (sum == sums.end()) sum = sums.insert(sums.end(), {kernel.name, kernel.limit, 0, 0, 0, 0, kernel.tiles});
    sum->launches += static_cast<int64_t>(times) * kernel.launches;
    sum->flops += times * kernel.flops;
    sum->bytes += times * kernel.bytes;
    sum->seconds += times * kernel.seconds;
  }
}

}  // namespace

double GpuTimes::take(const OpCall& call, double times) {
  const std::vector<KernelEstimate> kernels = kernels_of(call, gpu_, live_share_);
  const double gaps = gaps_of(kernels, gpu_), seconds = seconds_of(kernels) + gaps;
  const double flops = call.flops(live_share_), bytes = call.bytes(live_share_);
  OpEstimate& op = ops_[{call.name(), call.shape()}];
  op.part = call.part();
  op.calls += times;
  op.flops += times * flops;
  op.bytes += times * bytes;
  op.floor += times * floor_seconds(call, gpu_, live_share_);
  op.seconds += times * seconds;
  op.gaps += times * gaps;
  add(op.kernels, kernels, times);
  return seconds;
}

// NCCL's kernels occupy one multiprocessor per channel, usually 16.
double GpuTimes::lost_to_collectives() const { return 16.0 / gpu_.multiprocessors; }

double floor_seconds(const OpCall& call, const Gpu& gpu, double live_share) {
  // The router's products run on tensor cores in both precisions (kernels/cuda/router_linear.cu).
  const bool router = call.op() == OpId::router_linear_forward || call.op() == OpId::router_linear_backward;
  const double rate = product_rate(gpu, router || call.compute_dtype() == DType::bf16);
  return std::max(call.flops(live_share) / rate, call.bytes(live_share) / gpu.copy_bytes);
}

double call_seconds(const OpCall& call, const Gpu& gpu, double live_share) {
  const std::vector<KernelEstimate> kernels = kernels_of(call, gpu, live_share);
  return seconds_of(kernels) + gaps_of(kernels, gpu);
}

}  // namespace gptmoe
