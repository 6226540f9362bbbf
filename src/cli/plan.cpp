#include <cstdio>

#include "base/progress.h"
#include "cli/commands.h"
#include "cli/number_check.h"
#include "cli/path_check.h"
#include "cli/plan_ranks.h"
#include "engine/backend.h"
#include "engine/cuda_shapes.h"
#include "engine/describe.h"
#include "engine/matrix_rate.h"
#include "engine/memory_check.h"
#include "train/given_config.h"

namespace gptmoe {
namespace {

struct PlanArguments {
  std::string config;
  std::vector<std::string> overrides;
  RanksPlan ranks;
};

void print_memory(const Config& config, const Engine& engine, Ops& ops, const std::string& missing) {
  const TrainConfig& t = config.train;
  const bool on_host = missing.empty() && ops.memory().on_host();
  std::printf("\n%s (%s, micro-batch %lld x %lld, recompute %s)\n%s\n", on_host ? "memory" : "GPU memory",
              dtype_name(ops.compute_dtype()), static_cast<long long>(t.micro_batch_size),
              static_cast<long long>(t.sequence_length), t.recompute.c_str(), memory_table(engine).c_str());
  if (on_host) {
    std::printf("  %-20s %12s\n", "program", binary_bytes(kProgramBytes).c_str());
    std::printf("  %-20s %12s\n", "peak resident", binary_bytes(engine.total_bytes() + kProgramBytes).c_str());
  }
  if (!missing.empty()) {
    std::printf("planned as for a GPU: %s\n", missing.c_str());
    return;
  }
  const int64_t room = room_in(ops.memory(), ops);
  if (room < 0) return;
  std::printf("  %-20s %12s\n", "available", binary_bytes(room).c_str());
  const std::string why = why_no_room(config, engine, ops, room);
  if (!why.empty())
    std::printf("does not fit: %s\n", why.c_str());
  else
    std::printf("fits; train.micro_batch_size may be up to %lld (it must divide train.global_batch_size %lld)\n",
                static_cast<long long>(largest_micro_batch(config, ops, room)),
                static_cast<long long>(t.global_batch_size));
}

void print_plan(const Config& config, const RanksPlan& ranks) {
  const TrainConfig& t = config.train;
  const std::string missing = why_no_device(config);
  const std::unique_ptr<Ops> ops = missing.empty() ? make_backend(config) : std::make_unique<Ops>(plan_backend(config));
  const Engine engine(config, Purpose::train, t.micro_batch_size, t.sequence_length, *ops);
  std::printf("model       %s\n", describe_model(config.model).c_str());
  std::printf("parameters  %s\n", describe_parameters(engine.gpt()).c_str());
  if (const std::string average = describe_average(config, ranks.ranks); !average.empty())
    std::printf("average     %s\n", average.c_str());
  for (const std::string& path : slow_paths(config, *ops)) std::printf("slow        %s\n", path.c_str());
  print_memory(config, engine, *ops, missing);

  const double forward = engine.forward_flops_per_token(), backward = engine.backward_flops_per_token();
  const double tokens = static_cast<double>(t.global_batch_size * t.sequence_length);
  std::printf("\nwork (matrix products; recomputation not counted)\n");
  std::printf("  %-20s %12sFLOP\n", "forward per token", metric_count(forward).c_str());
  std::printf("  %-20s %12sFLOP\n", "backward per token", metric_count(backward).c_str());
  std::printf("  %-20s %12sFLOP\n", "per step", metric_count((forward + backward) * tokens).c_str());
  std::printf("  %-20s %12sFLOP\n", "whole run",
              metric_count((forward + backward) * tokens * static_cast<double>(t.steps)).c_str());
  if (ranks.ranks == 1) return;
  const bool on_paper = !missing.empty() || !ops->memory().on_host();
  print_ranks_plan(config, *ops, ranks, on_paper ? 0 : measure_matrix_rate(*ops));
}

}  // namespace

void add_plan_command(CLI::App& app) {
  auto arguments = std::make_shared<PlanArguments>();
  CLI::App* command = app.add_subcommand("plan", "Parameters, memory and work of a run, without running it");
  command->add_option("config", arguments->config, "Config file (JSON)")->required()->check(path_given());
  command->add_option("--set", arguments->overrides, "Override: path.to.key=value (repeatable)")
      ->allow_extra_args(false);
  CLI::Option* const ranks = command
                                 ->add_option("--ranks", arguments->ranks.ranks,
                                              "Also plan for this many ranks: memory, traffic, predicted speed")
                                 ->check(whole_number(1, 1 << 20));
  command->add_option("--link", arguments->ranks.link, "GB/s that a rank sends (default: an H200's NVLink, or a CPU's)")
      ->needs(ranks)
      ->check(number(1e-3, 1e6));
  command->add_option("--rate", arguments->ranks.rate, "TFLOP/s that a rank reaches in a step's matrix products")
      ->needs(ranks)
      ->check(number(1e-3, 1e6));
  command->add_option("--latency", arguments->ranks.latency, "Microseconds that an empty collective takes")
      ->needs(ranks)
      ->check(number(1e-3, 1e6));
  command->callback(
      [arguments] { print_plan(load_given_config(arguments->config, arguments->overrides), arguments->ranks); });
}

}  // namespace gptmoe
