// Training speed of configs on random tokens: whole optimizer steps, as `gptmoe train` runs them, without loading data,
// evaluating or saving. Prints a JSON line for each config. Two configs, a pair of routers say, are both in memory and
// take turns, so that the ratio of their speeds, on a third line, is of the same machine in the same minute.
//   bench_step CONFIG.json [OTHER.json] [--device auto|cpu|cuda] [--precision auto|f32|bf16] [--threads n] [--steps n]
//              [--warmup n] [--rounds n] [--set path=value]...
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/openmp_wait.h"
#include "base/rng.h"
#include "train/backend.h"
#include "train/train_step.h"

namespace {

using namespace gptmoe;
using nlohmann::ordered_json;

struct Arguments {
  std::vector<std::string> configs, overrides;
  std::string device, precision;
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

// A config's model in training.
class Run {
 public:
  Run(const std::string& path, const Config& config)
      : path_(path),
        config_(config),
        ops_(make_backend(config)),
        communicator_(make_single_communicator()),
        instance_(config_, Purpose::train, config.train.micro_batch_size, config.train.sequence_length, *ops_) {
    instance_.commit(*ops_);
    instance_.gpt().initialize(ops_->memory(), static_cast<uint64_t>(config.seed));
    train_step_.emplace(config_, instance_, *ops_, *communicator_);
  }

  // Tokens per second of `steps` steps.
  double train(int64_t steps) {
    const NextBatch next_batch = [&](const Tensor& inputs, const Tensor& targets) {
      fill_random(inputs, config_.model.vocab_size, stream_++);
      fill_random(targets, config_.model.vocab_size, stream_++);
    };
    ops_->synchronize();
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < steps; ++i, ++step_) {  // one step ahead of the reports, as a run is
      train_step_->run(next_batch, step_);
      if (i > 0) train_step_->report();
    }
    train_step_->report();
    ops_->synchronize();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return static_cast<double>(steps * config_.train.global_batch_size * config_.train.sequence_length) / seconds;
  }

  // The matrix rate is measured between the rounds, so that both meet the same machine.
  void time_round(int64_t steps) {
    matrix_rates_.push_back(measure_matrix_rate(*ops_));
    rates_.push_back(train(steps));
  }
  const std::vector<double>& rates() const { return rates_; }

  ordered_json row() const {
    const double flops = instance_.forward_flops_per_token() + instance_.backward_flops_per_token();
    const double rate = median(rates_), matrix_rate = median(matrix_rates_);
    ordered_json row;
    row["peer"] = "gptmoe";
    row["config"] = path_;
    row["device"] = ops_->describe();
    row["router"] = config_.router.type;
    row["threads"] = omp_get_max_threads();
    row["micro_batches"] = config_.train.global_batch_size / config_.train.micro_batch_size;
    row["tokens_per_second"] = rate;
    row["model_gflops"] = rate * flops * 1e-9;
    row["matrix_gflops"] = matrix_rate * 1e-9;
    row["share_of_matrix_rate"] = rate * flops / matrix_rate;
    row["planned_mib"] = static_cast<double>(instance_.total_bytes()) / (1 << 20);
    return row;
  }

 private:
  std::string path_;
  Config config_;
  std::unique_ptr<Ops> ops_;
  std::unique_ptr<Communicator> communicator_;
  Instance instance_;
  std::optional<TrainStep> train_step_;
  uint64_t stream_ = 0;
  int64_t step_ = 0;
  std::vector<double> rates_, matrix_rates_;
};

Config load(const std::string& path, const Arguments& arguments) {
  Config config = load_config(path, arguments.overrides);
  if (!arguments.device.empty()) config.device = arguments.device;
  if (!arguments.precision.empty()) config.precision = arguments.precision;
  config.train.steps = arguments.warmup + arguments.steps * arguments.rounds;
  return config;
}

void run(const Arguments& arguments) {
  if (arguments.threads > 0) omp_set_num_threads(arguments.threads);
  std::vector<std::unique_ptr<Run>> runs;
  for (const std::string& path : arguments.configs) runs.push_back(std::make_unique<Run>(path, load(path, arguments)));
  for (const auto& run : runs) run->train(arguments.warmup);
  for (int64_t round = 0; round < arguments.rounds; ++round)
    for (const auto& run : runs) run->time_round(arguments.steps);
  for (const auto& run : runs) std::printf("%s\n", run->row().dump().c_str());
  if (runs.size() < 2) return;
  std::vector<double> ratios;
  for (size_t round = 0; round < runs[0]->rates().size(); ++round)
    ratios.push_back(runs[1]->rates()[round] / runs[0]->rates()[round]);
  std::printf("%s\n", ordered_json{{"peer", "gptmoe"}, {"second_to_first", median(ratios)}}.dump().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  gptmoe::limit_openmp_spinning(argv);
  Arguments arguments;
  CLI::App app{"bench_step: training speed of gptmoe configs on random tokens"};
  app.add_option("configs", arguments.configs, "One config, or two that take turns")->required()->expected(1, 2);
  app.add_option("--device", arguments.device, "Instead of the configs'")
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}));
  app.add_option("--precision", arguments.precision, "Instead of the configs'")
      ->check(CLI::IsMember({"auto", "f32", "bf16"}));
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
