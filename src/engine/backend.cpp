#include "engine/backend.h"

#include <algorithm>

#include "distributed/agree.h"
#include "distributed/nccl/nccl_communicator.h"
#include "engine/cuda_shapes.h"
#include "kernels/cuda_limits.h"
#include "kernels/plan_ops.h"

namespace gptmoe {
namespace {

// Throws UserError unless every rank has a GPU, or none has. `obstacles`, by rank: why the rank has no GPU; empty if it
// has one.
void require_all_or_none(const Config& config, const World& world, const std::vector<std::string>& obstacles) {
  const auto with = std::find(obstacles.begin(), obstacles.end(), "");
  const auto without = std::find_if(obstacles.begin(), obstacles.end(), [](const auto& why) { return !why.empty(); });
  const auto name = [&](auto at) { return world.name(static_cast<int>(at - obstacles.begin())); };
  if (with != obstacles.end() && without != obstacles.end())
    user_error("device: \"", config.device, "\", but ", name(without), " has no GPU (", *without, ") while ",
               name(with), " has one; start ranks only where GPUs are, or set device to \"cpu\"");
}

// For ranks that all have GPUs: throws UserError if two ranks use the same GPU, or if NCCL is missing.
void require_one_each(const World& world, const std::vector<std::string>& ids) {
  for (size_t b = 0; b < ids.size(); ++b) {
    const auto a = static_cast<size_t>(std::find(ids.begin(), ids.end(), ids[b]) - ids.begin());
    if (a < b)
      user_error(world.name(static_cast<int>(a)), " and ", world.name(static_cast<int>(b)), " use the same GPU (",
                 ids[b],
                 "): start at most one rank per GPU on each machine, and let each rank see all GPUs or a different "
                 "one; or set device to \"cpu\"");
  }
  if (const std::string why = why_no_nccl(); !why.empty())
    user_error("device: ", world.size(), " ranks with GPUs need NCCL, but ", why, ", or set device to \"cpu\"");
}

struct Choice {
  bool cuda;
  DType compute;
};

// Chooses the device and the precision. `obstacle` says why there is no GPU (empty if there is one); only "auto"
// depends on it.
Choice choose(const Config& config, const std::string& obstacle) {
  const bool cuda = config.device == "cuda" || (config.device == "auto" && obstacle.empty());
  if (config.precision == "bf16" && !cuda && config.device != "cpu")
    user_error("precision: \"bf16\" with device \"auto\" needs a GPU, but ", obstacle,
               "; set device to \"cpu\" for bf16 products on the CPU, or precision to \"auto\"");
  if (cuda) require_cuda_shapes(config, cuda_widest_head());
  return {cuda, cuda && config.precision != "f32" ? DType::bf16 : DType::f32};
}

// choose() for this machine. Throws UserError if the config names a GPU and there is none.
Choice choose_here(const Config& config) {
  const std::string obstacle = config.device == "cpu" ? "" : why_no_cuda();
  const Choice choice = choose(config, obstacle);
  if (choice.cuda && !obstacle.empty()) user_error("device: \"cuda\", but ", obstacle, "; use \"cpu\" or \"auto\"");
  return choice;
}

}  // namespace

void assign_devices(const Config& config, World& world) {
  if (config.device == "cpu" || world.size() == 1) return;
  agree(world, [&] { use_cuda_device(world.local_rank(), world.local_size()); });
  const std::string obstacle = why_no_cuda();
  const std::vector<std::string> obstacles = world.all_gather(obstacle);
  const std::vector<std::string> ids = world.all_gather(obstacle.empty() ? cuda_device_id() : "");
  agree(world, [&] {
    require_all_or_none(config, world, obstacles);
    if (obstacle.empty()) require_one_each(world, ids);
  });
}

std::unique_ptr<Communicator> make_communicator(World& world, Ops& ops) {
  if (ops.memory().on_host()) return world.make_host_communicator();
  if (world.size() == 1) return make_single_communicator();
  return make_nccl_communicator(world, ops);
}

std::unique_ptr<Ops> make_backend(const Config& config, bool hopper) {
  const Choice choice = choose_here(config);
  if (!choice.cuda) return make_cpu_ops(0, config.precision == "bf16" ? DType::bf16 : DType::f32);
  return make_cuda_ops(choice.compute, {.graphs = config.train.cuda_graphs, .hopper = hopper});
}

std::optional<DType> cuda_precision(const Config& config) {
  const Choice choice = choose_here(config);
  return choice.cuda ? std::optional(choice.compute) : std::nullopt;
}

std::string why_no_device(const Config& config) { return config.device == "cuda" ? why_no_cuda() : ""; }

Ops plan_backend(const Config& config) {
  const Choice choice = choose(config, config.device == "auto" ? why_no_cuda() : "");
  return choice.cuda ? make_plan_ops(choice.compute, DType::f32, kCudaLogitElements, cuda::kWorkspaceBytes)
                     : make_plan_ops(choice.compute, DType::f32, kCpuLogitElements, 0);
}

}  // namespace gptmoe
