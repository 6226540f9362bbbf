#include <cstdio>

#include "base/progress.h"
#include "cli/commands.h"
#include "cli/number_check.h"
#include "cli/path_check.h"
#include "cli/plan_kernels.h"
#include "cli/plan_ranks.h"
#include "engine/backend.h"
#include "engine/describe.h"
#include "engine/matrix_rate.h"
#include "engine/memory_check.h"
#include "engine/slow_paths.h"
#include "engine/update_rules.h"
#include "train/given_config.h"
#include "train/micro_batch.h"

namespace gptmoe {
namespace {

struct PlanArguments {
  std::string config;
  std::vector<std::string> overrides;
  int64_t ranks = 1;
  bool kernels = false;
  SpeedOptions speed;
};

void print_room(const Config& config, const Engine& engine, const Ops& ops, int64_t room) {
  const std::string why = why_no_room(config, engine, ops, room);
  if (!why.empty())
    std::printf("does not fit: %s\n", why.c_str());
  else
    std::printf("fits; train.micro_batch_size may be up to %lld (it must divide train.global_batch_size %lld)\n",
                static_cast<long long>(largest_micro_batch(config, ops, room)),
                static_cast<long long>(config.train.global_batch_size));
}

// `missing` says why this machine lacks the config's device; empty if it has the device. `assumed` is the GPU that is
// predicted instead of this machine's device, or null.
void print_memory(const Config& config, const Engine& engine, Ops& ops, const std::string& missing,
                  const Gpu* assumed) {
  const TrainConfig& t = config.train;
  const bool on_host = missing.empty() && ops.memory().on_host();
  std::printf("\n%s (%s, micro-batch %lld x %lld, recompute %s)\n%s\n", on_host ? "memory" : "GPU memory",
              dtype_name(ops.compute_dtype()), static_cast<long long>(t.micro_batch_size),
              static_cast<long long>(t.sequence_length), t.recompute.c_str(), memory_table(engine).c_str());
  if (on_host) {
    std::printf("  %-20s %12s\n", "program", binary_bytes(kProgramBytes).c_str());
    std::printf("  %-20s %12s\n", "peak resident", binary_bytes(engine.total_bytes() + kProgramBytes).c_str());
  }
  if (!missing.empty()) std::printf("planned as if for a GPU: %s\n", missing.c_str());
  if (assumed) {
    std::printf("  %-20s %12s\n", text("an ", assumed->title, " has").c_str(),
                binary_bytes(assumed->memory_bytes).c_str());
    return print_room(config, engine, ops, assumed->memory_bytes);
  }
  if (!missing.empty()) return;
  const int64_t room = room_in(ops.memory(), ops);
  if (room < 0) return;
  std::printf("  %-20s %12s\n", "available", binary_bytes(room).c_str());
  print_room(config, engine, ops, room);
}

// Chooses the micro-batch size if it is "auto", for a new run on `ranks` ranks. `missing` and `assumed` are those of
// print_memory().
Config with_micro_batch(Config config, Ops& ops, const std::string& missing, const Gpu* assumed, int ranks) {
  if (!config.train.auto_micro_batch()) return config;
  if (!assumed && !missing.empty())
    user_error("train.micro_batch_size: \"auto\", but ", missing, "; name the GPU with --gpu, or give a number");
  const int64_t room = assumed ? assumed->memory_bytes : room_in(ops.memory(), ops, ranks);
  config.train.micro_batch_size = choose_micro_batch(config, ops, room, {0, ranks});
  std::printf("micro-batch %s\n", describe_micro_batch(config.train.micro_batch_size).c_str());
  return config;
}

// The config for a prediction, which needs no GPU on this machine.
Config on_gpu(Config config) {
  if (config.device == "cpu")
    user_error("device: \"cpu\", but --kernels and --gpu predict a run on a GPU; add --set device=cuda");
  config.device = "cuda";
  return config;
}

void print_plan(const PlanArguments& arguments) {
  const bool for_gpu = arguments.kernels || !arguments.speed.gpu.empty();
  if (!arguments.speed.gpu.empty()) gpu_named(arguments.speed.gpu);
  if (arguments.speed.rate > 0 && arguments.ranks == 1 && !arguments.kernels)
    user_error("--rate: has no effect without a prediction; add --kernels or --ranks");
  const Config given = load_given_config(arguments.config, arguments.overrides);
  const Config wanted = for_gpu ? on_gpu(given) : given;
  const int ranks = static_cast<int>(arguments.ranks);
  const std::string missing = why_no_device(wanted);
  const std::unique_ptr<Ops> ops = missing.empty() ? make_backend(wanted) : std::make_unique<Ops>(plan_backend(wanted));
  const bool on_paper = !missing.empty() || !ops->memory().on_host(), predicts = ranks > 1 || arguments.kernels;
  const Gpu& gpu = gpu_of(arguments.speed, ops->describe());
  const bool assumed = !arguments.speed.gpu.empty() || (predicts && !missing.empty());
  const Config config = with_micro_batch(wanted, *ops, missing, assumed ? &gpu : nullptr, ranks);
  require_equal_shares(config, arguments.speed, ranks);
  const TrainConfig& t = config.train;
  const Engine engine(config, Purpose::train, t.micro_batch_size, t.sequence_length, *ops);
  std::printf("model       %s\n", describe_model(config.model).c_str());
  std::printf("parameters  %s\n", describe_parameters(engine.gpt()).c_str());
  if (const std::string average = describe_average(config, ranks); !average.empty())
    std::printf("average     %s\n", average.c_str());
  if (const std::string moments = describe_moments(config.optimizer); !moments.empty())
    std::printf("moments     %s\n", moments.c_str());
  for (const std::string& path : slow_paths(config, *ops)) std::printf("slow        %s\n", path.c_str());
  print_memory(config, engine, *ops, missing, assumed ? &gpu : nullptr);

  const double forward = engine.forward_flops_per_token(), backward = engine.backward_flops_per_token();
  const double tokens = static_cast<double>(t.global_batch_size * t.sequence_length);
  if (const std::string rules = rule_table(config.optimizer, engine.gpt().params()); !rules.empty())
    std::printf("\noptimizer\n%s\n", rules.c_str());
  std::printf("\nwork (matrix products; recomputation not counted%s)\n",
              config.data.document_mask ? "; attention as without a document mask" : "");
  std::printf("  %-20s %12sFLOP\n", "forward per token", metric_count(forward).c_str());
  std::printf("  %-20s %12sFLOP\n", "backward per token", metric_count(backward).c_str());
  const double optimizer = engine.optimizer_flops_per_step(), step = (forward + backward) * tokens + optimizer;
  if (optimizer > 0) std::printf("  %-20s %12sFLOP\n", "Muon per step", metric_count(optimizer).c_str());
  std::printf("  %-20s %12sFLOP\n", "per step", metric_count(step).c_str());
  std::printf("  %-20s %12sFLOP\n", "whole run", metric_count(step * static_cast<double>(t.steps)).c_str());
  if (!predicts) return;
  const PlanSpeed speed =
      on_paper ? PlanSpeed::of_gpu(arguments.speed, gpu, ops->compute_dtype(), config.kernels.hopper == "on")
               : PlanSpeed::of_cpu(arguments.speed, measure_matrix_rate(*ops));
  if (ranks > 1) print_ranks_plan(config, *ops, ranks, speed, engine.gpt().live_share());
  if (arguments.kernels) print_kernels_plan(config, engine, *ops, ranks, speed);
}

}  // namespace

void add_plan_command(CLI::App& app) {
  auto arguments = std::make_shared<PlanArguments>();
  CLI::App* command = app.add_subcommand("plan", "Show the parameters, memory and work of a run without training it");
  command->add_option("config", arguments->config, "Config file (JSON)")->required()->check(path_given());
  command->add_option("--set", arguments->overrides, "Override: path.to.key=value (repeatable)")
      ->allow_extra_args(false);
  CLI::Option* const ranks =
      command
          ->add_option("--ranks", arguments->ranks, "Also plan for this many ranks: memory, traffic, predicted speed")
          ->check(whole_number(1, 1 << 20));
  command->add_flag("--kernels", arguments->kernels,
                    "Predict every kernel of a step on a GPU, and every collective of several ranks");
  SpeedOptions& speed = arguments->speed;
  command->add_option("--gpu", speed.gpu, "Predict this GPU: h200, h100 or a100 (default: this machine's, or h200)");
  const auto add_rate = [&](const char* name, double& value, const char* description) {
    return command->add_option(name, value, description)->check(number(1e-3, 1e6));
  };
  add_rate("--rate", speed.rate, "TFLOP/s of large matrix products (default: the GPU's, or this CPU's)");
  command
      ->add_option("--nodes", speed.nodes, "Machines that share the ranks (default: as few as possible, 8 GPUs each)")
      ->needs(ranks)
      ->check(whole_number(1, 1 << 20));
  add_rate("--link", speed.link, "GB/s that a rank sends within its machine (default: the GPU's NVLink, or a CPU's)")
      ->needs(ranks);
  add_rate("--network", speed.network, "GB/s that a machine sends out (default: one network card for each GPU)")
      ->needs(ranks);
  add_rate("--latency", speed.latency, "Microseconds that a collective of few bytes takes (default: by number of hops)")
      ->needs(ranks);
  command->callback([arguments] { print_plan(*arguments); });
}

}  // namespace gptmoe
