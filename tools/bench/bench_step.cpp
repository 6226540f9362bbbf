// Training speed of a config on random tokens: whole optimizer steps, as `gptmoe train` runs them, without loading
// data, evaluating or saving. Prints one JSON line.
//   bench_step CONFIG.json [--threads n] [--steps n] [--warmup n] [--rounds n] [--set path=value]...
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/openmp_wait.h"
#include "base/rng.h"
#include "train/backend.h"
#include "train/train_step.h"

namespace {

using namespace gptmoe;

struct Arguments {
  std::string config;
  std::vector<std::string> overrides;
  int threads = 0;
  int64_t steps = 10, warmup = 3, rounds = 3;
};

void fill_random(const Tensor& ids, int64_t vocab_size, uint64_t stream) {
  const Rng rng(1, stream);
  for (int64_t i = 0; i < ids.count(); ++i)
    ids.as<int32_t>()[i] = static_cast<int32_t>(rng.below(static_cast<uint64_t>(i), static_cast<uint64_t>(vocab_size)));
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void run(const Arguments& arguments) {
  if (arguments.threads > 0) omp_set_num_threads(arguments.threads);
  Config config = load_config(arguments.config, arguments.overrides);
  const auto ops = make_backend(config);
  const auto communicator = make_single_communicator();
  Instance instance(config, Purpose::train, config.train.micro_batch_size, config.train.sequence_length, *ops);
  instance.commit(*ops);
  instance.gpt().initialize(ops->memory(), static_cast<uint64_t>(config.seed));
  uint64_t stream = 0;
  const NextBatch next_batch = [&](const Tensor& inputs, const Tensor& targets) {
    fill_random(inputs, config.model.vocab_size, stream++);
    fill_random(targets, config.model.vocab_size, stream++);
  };
  TrainStep train_step(config, instance, *ops, *communicator);
  int64_t step = 0;
  const auto seconds_for = [&](int64_t steps) {
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < steps; ++i, ++step) {  // one step ahead of the reports, as a run is
      train_step.run(next_batch, step);
      if (i > 0) train_step.report();
    }
    train_step.report();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  config.train.steps = arguments.warmup + arguments.steps * arguments.rounds;
  seconds_for(arguments.warmup);

  // The matrix rate is measured between the rounds, so that both meet the same machine.
  const auto tokens =
      static_cast<double>(arguments.steps * config.train.global_batch_size * config.train.sequence_length);
  std::vector<double> rates, matrix_rates;
  for (int64_t round = 0; round < arguments.rounds; ++round) {
    matrix_rates.push_back(measure_matrix_rate(*ops));
    rates.push_back(tokens / seconds_for(arguments.steps));
  }
  const double flops = instance.forward_flops_per_token() + instance.backward_flops_per_token();
  nlohmann::ordered_json row;
  row["peer"] = "gptmoe";
  row["device"] = ops->describe();
  row["router"] = config.router.type;
  row["threads"] = arguments.threads > 0 ? arguments.threads : omp_get_max_threads();
  row["tokens_per_second"] = median(rates);
  row["model_gflops"] = median(rates) * flops * 1e-9;
  row["matrix_gflops"] = median(matrix_rates) * 1e-9;
  row["share_of_matrix_rate"] = median(rates) * flops / median(matrix_rates);
  std::printf("%s\n", row.dump().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  gptmoe::limit_openmp_spinning(argv);
  Arguments arguments;
  CLI::App app{"bench_step: training speed of a gptmoe config on random tokens"};
  app.add_option("config", arguments.config)->required();
  app.add_option("--threads", arguments.threads, "0: all");
  app.add_option("--steps", arguments.steps, "Steps in a timed round")->capture_default_str();
  app.add_option("--warmup", arguments.warmup, "Steps before the first round")->capture_default_str();
  app.add_option("--rounds", arguments.rounds, "Timed rounds; medians are printed")->capture_default_str();
  app.add_option("--set", arguments.overrides, "Override: path.to.key=value (repeatable)")->allow_extra_args(false);
  try {
    app.parse(argc, argv);
    run(arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_step: %s\n", error.what());
    return 2;
  }
}
