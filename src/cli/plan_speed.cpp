#include "cli/plan_speed.h"

#include <algorithm>

#include "base/progress.h"
#include "engine/config_for_rank.h"

namespace gptmoe {
namespace {

constexpr int kGpusPerMachine = 8;
// Assumptions about a CPU: the share of large products' rate that a step's products reach, bytes/s of memory, bytes/s
// that a rank sends, and seconds that a small collective takes.
constexpr double kCpuShare = 0.75, kCpuMemory = 10e9, kCpuLink = 4e9, kCpuLatency = 10e-6;

// The fewest machines of at most eight GPUs that share the ranks equally.
int fewest_machines(int ranks) {
  int machines = (ranks + kGpusPerMachine - 1) / kGpusPerMachine;
  while (ranks % machines != 0) ++machines;
  return machines;
}

std::string rate(double value, const char* unit) { return metric_count(value) + unit; }

}  // namespace

const Gpu& gpu_of(const SpeedOptions& options, const std::string& description) {
  if (!options.gpu.empty()) return gpu_named(options.gpu);
  const Gpu* own = gpu_described(description);
  return own ? *own : known_gpus().front();
}

void require_equal_shares(const Config& config, const SpeedOptions& options, int ranks) {
  config_for_rank(config, ranks);
  if (options.nodes > 0 && ranks % options.nodes != 0)
    user_error("--nodes: ", ranks, " ranks cannot be shared equally by ", options.nodes,
               " machines; choose a number that divides ", ranks);
}

PlanSpeed PlanSpeed::of_gpu(const SpeedOptions& options, const Gpu& gpu, DType compute, bool hopper) {
  if (hopper && !gpu.hopper)
    user_error("kernels.hopper: \"on\", but the ", gpu.title, " is not a Hopper GPU; set it to \"auto\"");
  PlanSpeed speed(options);
  speed.gpu_ = gpu;
  speed.gpu_->hopper_kernels = hopper;
  speed.bf16_ = compute == DType::bf16;
  if (options.rate > 0)
    (speed.bf16_ ? speed.gpu_->product_flops : speed.gpu_->vector_product_flops) = options.rate * 1e12;
  return speed;
}

PlanSpeed PlanSpeed::of_cpu(const SpeedOptions& options, double matrix_rate) {
  PlanSpeed speed(options);
  speed.flops_ = kCpuShare * (options.rate > 0 ? options.rate * 1e12 : matrix_rate);
  speed.memory_bytes_ = kCpuMemory;
  return speed;
}

std::unique_ptr<CallTimes> PlanSpeed::call_times(double live_share) const {
  if (on_gpu()) return std::make_unique<GpuTimes>(*gpu_, live_share);
  return std::make_unique<FlatTimes>(flops_, memory_bytes_, live_share);
}

Network PlanSpeed::network(int ranks) const {
  Network network{.ranks = ranks};
  if (ranks == 1) return network;
  network.machines = options_.nodes > 0 ? static_cast<int>(options_.nodes) : on_gpu() ? fewest_machines(ranks) : 1;
  network.link_bytes = options_.link > 0 ? options_.link * 1e9 : on_gpu() ? gpu_->link_bytes : kCpuLink;
  network.machine_bytes = options_.network > 0 ? options_.network * 1e9
                          : on_gpu()           ? gpu_->network_bytes * ranks / network.machines
                                               : network.link_bytes;
  network.latency = options_.latency > 0 ? options_.latency * 1e-6 : on_gpu() ? 0 : kCpuLatency;
  return network;
}

std::string PlanSpeed::assumptions(int ranks) const {
  std::string lines;
  if (on_gpu()) {
    lines = text("assumed: ", gpu_->title, ", large products ", rate(product(), "FLOP/s"), bf16_ ? "" : " in f32",
                 ", large copies ", rate(gpu_->copy_bytes, "B/s"), ", ", gpu_->launch_gap * 1e6, " us between kernels");
  } else {
    lines = text("assumed: ", rate(flops_, "FLOP/s"), " in a step's products, ", rate(memory_bytes_, "B/s"),
                 " of memory in the optimizer");
  }
  if (ranks == 1) return lines + "\n";
  const Network links = network(ranks);
  lines += text("\n         ", plural(links.machines, "machine"), " of ", plural(ranks / links.machines, "rank"),
                "; a rank sends ", rate(links.link_bytes, "B/s"), " in its machine");
  if (links.machines > 1) lines += text(", a machine ", rate(links.machine_bytes, "B/s"), " out of it");
  lines += text("\n         a collective of few bytes takes ",
                static_cast<int64_t>(1e6 * collective_time(links, Collective::all_reduce, 64).seconds + 0.5), " us");
  if (on_gpu()) lines += text(", and collectives take 16 of ", gpu_->multiprocessors, " multiprocessors");
  return lines + "\n";
}

}  // namespace gptmoe
