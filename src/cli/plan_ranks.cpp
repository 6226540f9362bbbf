#include "cli/plan_ranks.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/progress.h"
#include "distributed/mpi/staging.h"
#include "engine/config_for_rank.h"

namespace gptmoe {
namespace {

constexpr std::array<int64_t, 3> kZeroStages = {0, 1, 2};

Config with_zero_stage(Config config, int64_t stage) {
  config.distributed.zero_stage = stage;
  return config;
}

template <typename Value>
void print_row(const std::string& name, Value&& value) {
  std::printf("  %-21s", name.c_str());
  for (size_t column = 0; column < kZeroStages.size(); ++column) std::printf(" %14s", value(column).c_str());
  std::printf("\n");
}

void print_heading(const std::string& title) {
  std::printf("\n%-23s", title.c_str());
  for (const int64_t stage : kZeroStages) std::printf(" %14s", text("zero_stage ", stage).c_str());
  std::printf("\n");
}

std::string milliseconds(double seconds) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f ms", 1e3 * seconds);
  return text;
}

// Gradients are reduced segment by segment. Returns the bytes of the largest segment that a rank receives from others.
int64_t exchanged_bytes(const ParamTable& params, int64_t ranks) {
  int64_t largest = 0;
  for (const auto& bucket : params.buckets())
    for (const ParamTable::Segment& segment : bucket) largest = std::max(largest, segment.count);
  return largest * dtype_bytes(params.grads().dtype()) / ranks * (ranks - 1);
}

void print_memory(const Config& config, const Ops& ops, int ranks, const PlanSpeed& speed) {
  const Config own = config_for_rank(config, ranks);
  std::array<std::vector<Engine::ArenaSize>, kZeroStages.size()> sizes;
  std::array<int64_t, kZeroStages.size()> totals{};
  for (size_t column = 0; column < kZeroStages.size(); ++column) {
    const Engine engine(with_zero_stage(own, kZeroStages[column]), Purpose::train, own.train.micro_batch_size,
                        own.train.sequence_length, ops, {0, ranks});
    sizes[column] = engine.arena_sizes();
    if (!speed.on_gpu())
      sizes[column].push_back({"MPI", mpi_staging_bytes(exchanged_bytes(engine.gpt().params(), ranks))});
    for (const Engine::ArenaSize& arena : sizes[column]) totals[column] += arena.bytes;
  }
  print_heading("memory of a rank");
  for (size_t row = 0; row < sizes[0].size(); ++row)
    print_row(sizes[0][row].name, [&](size_t column) { return binary_bytes(sizes[column][row].bytes); });
  print_row("total", [&](size_t column) { return binary_bytes(totals[column]); });
  if (!speed.on_gpu()) return;
  const int64_t room = speed.gpu().memory_bytes;
  print_row(text("of ", binary_bytes(room)),
            [&](size_t column) { return std::string(totals[column] <= room ? "fits" : "does not fit"); });
}

void print_prediction(const Config& config, const Ops& ops, int ranks, const PlanSpeed& speed, double live_share) {
  const auto predict = [&](const Config& run, int count) {
    return predict_step(run, ops, *speed.call_times(live_share), speed.network(count));
  };
  std::array<StepPrediction, kZeroStages.size()> several;
  for (size_t column = 0; column < kZeroStages.size(); ++column)
    several[column] = predict(with_zero_stage(config, kZeroStages[column]), ranks);
  const double alone = predict(config, 1).in_all();
  const auto any = [&](const auto& shows) { return std::any_of(several.begin(), several.end(), shows); };

  print_heading("a rank sends per step");
  for (size_t i = 0; i < kTrafficNames.size(); ++i)
    if (any([&](const StepPrediction& step) { return step.communication[i].calls > 0; }))
      print_row(kTrafficNames[i], [&](size_t column) {
        const TrafficCost& cost = several[column].communication[i];
        return metric_count(static_cast<double>(cost.bytes)) + "B/" + std::to_string(cost.calls);
      });
  std::printf("  (bytes with ring collectives / number of collectives)\n");

  print_heading("predicted step");
  for (size_t part = 0; part < kParts; ++part)
    if (any([&](const StepPrediction& step) { return step.compute[part] > 0; }))
      print_row(part_name(static_cast<Part>(part)),
                [&](size_t column) { return milliseconds(several[column].compute[part]); });
  if (any([&](const StepPrediction& step) { return step.slowed > 0; }))
    print_row("slowed", [&](size_t column) { return milliseconds(several[column].slowed); });
  for (size_t i = 0; i < kTrafficNames.size(); ++i)
    if (any([&](const StepPrediction& step) { return step.communication[i].seconds > 0; }))
      print_row(text("wait: ", kTrafficNames[i]),
                [&](size_t column) { return milliseconds(several[column].communication[i].seconds); });
  print_row("total", [&](size_t column) { return milliseconds(several[column].in_all()); });
  const double tokens = static_cast<double>(config.train.global_batch_size * config.train.sequence_length);
  print_row("tokens/s", [&](size_t column) { return metric_count(tokens / several[column].in_all()); });
  print_row("efficiency", [&](size_t column) {
    return std::to_string(static_cast<int>(100 * alone / (ranks * several[column].in_all()) + 0.5)) + "%";
  });
  std::printf("%s         (change with %s)\nefficiency is relative to one rank with the same global batch\n",
              speed.assumptions(ranks).c_str(),
              speed.on_gpu() ? "--gpu, --rate, --nodes, --link, --network, --latency" : "--rate, --link, --latency");
}

}  // namespace

void print_ranks_plan(const Config& config, const Ops& ops, int ranks, const PlanSpeed& speed, double live_share) {
  const Config own = config_for_rank(config, ranks);
  std::printf("\nranks       %d, each with %lld micro-batch(es) of %lld per step, gradients in %s\n", ranks,
              static_cast<long long>(own.train.micro_batches(ranks)),
              static_cast<long long>(own.train.micro_batch_size), config.distributed.reduce_dtype.c_str());
  print_memory(config, ops, ranks, speed);
  print_prediction(config, ops, ranks, speed, live_share);
}

}  // namespace gptmoe
