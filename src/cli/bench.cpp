#include <omp.h>

#include "bench/benches.h"
#include "cli/commands.h"
#include "cli/number_check.h"
#include "cli/path_check.h"

namespace gptmoe {
namespace {

struct BenchArguments {
  BenchOptions bench;
  VariantOptions variants;
  StepOptions step;
  LoaderBenchOptions loader;
  std::string part;
  int64_t layer_rounds = 3;
  int threads = 0;

  void prepare() {
    bench.hopper_check = own_hopper_check();
    if (threads > 0) omp_set_num_threads(threads);
  }
};

void add_output_options(CLI::App& command, BenchArguments& arguments) {
  command
      .add_option("--json", arguments.bench.json,
                  "Write JSON lines to this file; - writes them, and nothing else, to standard output")
      ->check(path_given());
  command.add_option("--threads", arguments.threads, "Threads (0: all)")->check(whole_number(0, 1024));
}

void add_device_options(CLI::App& command, BenchArguments& arguments) {
  command.add_option("--device", arguments.bench.device, "auto, cpu or cuda (default: the config's, or auto)")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  command.add_option("--precision", arguments.bench.precision, "auto, f32 or bf16 (default: the config's, or auto)")
      ->check(CLI::IsMember({"auto", "f32", "bf16"}));
  command
      .add_option("--hopper", arguments.bench.hopper,
                  "kernels.hopper: auto, on or off (default: the config's, or auto)")
      ->check(CLI::IsMember({"auto", "on", "off"}));
}

void add_variant_options(CLI::App& command, VariantOptions& variants) {
  command.add_option("configs", variants.configs, "One config, or two to measure in turns")
      ->required()
      ->expected(1, 2)
      ->check(path_given());
  command.add_option("--experts", variants.experts, "Numbers of experts to compare, such as 8,16,32")
      ->delimiter(',')
      ->check(whole_number(1));
  command.add_option("--set", variants.overrides, "Override: path.to.key=value (repeatable)")->allow_extra_args(false);
}

void add_ops(CLI::App& bench, const std::shared_ptr<BenchArguments>& arguments) {
  CLI::App* command = bench.add_subcommand(
      "ops", "Measure every op: its time, its rates, and how close it comes to the device's limits");
  command->add_option("part", arguments->part, "Only ops whose names contain this");
  add_device_options(*command, *arguments);
  add_output_options(*command, *arguments);
  command->callback([arguments] { arguments->prepare(), bench_ops(arguments->part, arguments->bench); });
}

void add_layer(CLI::App& bench, const std::shared_ptr<BenchArguments>& arguments) {
  CLI::App* command = bench.add_subcommand("layer", "Compare a MoE layer with a dense FFN of the same active width");
  add_variant_options(*command, arguments->variants);
  command->add_option("--rounds", arguments->layer_rounds, "Number of rounds of ten runs each")
      ->capture_default_str()
      ->check(whole_number(1));
  add_device_options(*command, *arguments);
  add_output_options(*command, *arguments);
  command->callback([arguments] {
    arguments->prepare(), bench_layer(arguments->variants, arguments->layer_rounds, arguments->bench);
  });
}

void add_step(CLI::App& bench, const std::shared_ptr<BenchArguments>& arguments) {
  CLI::App* command =
      bench.add_subcommand("step", "Measure training speed on random tokens, and break down a step's time");
  StepOptions& step = arguments->step;
  add_variant_options(*command, arguments->variants);
  command
      ->add_option("--tokens", arguments->variants.tokens,
                   "Numbers of tokens per step (one micro-batch) to compare, such as 1024,2048")
      ->delimiter(',')
      ->check(whole_number(1));
  command->add_option("--steps", step.steps, "Steps in a timed round")->capture_default_str()->check(whole_number(1));
  command->add_option("--warmup", step.warmup, "Steps before the first round")
      ->capture_default_str()
      ->check(whole_number(1));
  command->add_option("--rounds", step.rounds, "Timed rounds; medians are printed")
      ->capture_default_str()
      ->check(whole_number(1));
  command->add_flag("!--no-account", step.account, "Only measure speed; leave out the breakdown by op");
  command->add_option("--svg", step.svg, "Draw tokens/s against experts, or against tokens per step, into this file")
      ->check(path_given());
  add_device_options(*command, *arguments);
  add_output_options(*command, *arguments);
  command->callback([arguments] {
    arguments->prepare();
    bench_step(arguments->variants, arguments->step, arguments->bench);
  });
}

void add_loader(CLI::App& bench, const std::shared_ptr<BenchArguments>& arguments) {
  CLI::App* command = bench.add_subcommand("loader", "Measure the tokens per second of the data loader");
  LoaderBenchOptions& loader = arguments->loader;
  command->add_option("data", loader.data, "Glob of shards, or a config that names them (default: generated shards)")
      ->check(path_given());
  command->add_option("--sequence-length", loader.sequence_length, "Sequence length if no config is given")
      ->capture_default_str()
      ->check(whole_number(1));
  command->add_option("--batch", loader.batch, "Sequences per batch if no config is given")
      ->capture_default_str()
      ->check(whole_number(1));
  add_output_options(*command, *arguments);
  command->callback([arguments] { arguments->prepare(), bench_loader(arguments->loader, arguments->bench); });
}

}  // namespace

void add_bench_command(CLI::App& app) {
  const auto arguments = std::make_shared<BenchArguments>();
  CLI::App* bench = app.add_subcommand("bench", "Measure the speed of ops, layers, steps and the data loader");
  bench->require_subcommand(1);
  add_ops(*bench, arguments);
  add_layer(*bench, arguments);
  add_step(*bench, arguments);
  add_loader(*bench, arguments);
}

}  // namespace gptmoe
