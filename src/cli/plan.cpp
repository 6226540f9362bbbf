#include <cstdio>

#include "base/progress.h"
#include "cli/commands.h"
#include "routing/routing_policy.h"
#include "train/backend.h"
#include "train/describe.h"

namespace gptmoe {
namespace {

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
};

void print_plan(const Config& config) {
  const TrainConfig& t = config.train;
  const PlanOps backend = plan_backend(config);
  const Instance instance(config, Purpose::train, t.micro_batch_size, t.sequence_length, backend);
  const Gpt& gpt = instance.gpt();
  std::printf("model       %s\n", describe_model(config.model).c_str());
  std::printf("parameters  %s\n", describe_parameters(gpt).c_str());
  std::printf("\nmemory (%s, micro-batch %lld x %lld, recompute %s)\n", dtype_name(backend.compute_dtype()),
              static_cast<long long>(t.micro_batch_size), static_cast<long long>(t.sequence_length),
              t.recompute.c_str());
  for (const Instance::ArenaSize& arena : instance.arena_sizes())
    std::printf("  %-20s %12s\n", arena.name.c_str(), binary_bytes(arena.bytes).c_str());
  const int64_t overhead = resident_overhead_bytes(config);
  std::printf("  %-20s %12s\n", "program and shards", binary_bytes(overhead).c_str());
  std::printf("  %-20s %12s\n", "peak resident", binary_bytes(instance.total_bytes() + overhead).c_str());

  const double forward = instance.forward_flops_per_token(), backward = instance.backward_flops_per_token();
  const double tokens = static_cast<double>(t.global_batch_size * t.sequence_length);
  std::printf("\nwork (matrix products; recomputation not counted)\n");
  std::printf("  %-20s %12sFLOP\n", "forward per token", metric_count(forward).c_str());
  std::printf("  %-20s %12sFLOP\n", "backward per token", metric_count(backward).c_str());
  std::printf("  %-20s %12sFLOP\n", "per step", metric_count((forward + backward) * tokens).c_str());
  std::printf("  %-20s %12sFLOP\n", "whole run",
              metric_count((forward + backward) * tokens * static_cast<double>(t.steps)).c_str());
}

}  // namespace

void add_plan_command(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = app.add_subcommand("plan", "Parameters, memory and work of a run, without running it");
  command->add_option("config", arguments->config, "Config file (JSON)")->required();
  command->add_option("--set", arguments->overrides, "Override: path.to.key=value (repeatable)")
      ->allow_extra_args(false);
  command->callback([arguments] { print_plan(load_config(arguments->config, arguments->overrides, check_router)); });
}

}  // namespace gptmoe
