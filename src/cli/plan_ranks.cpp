#include "cli/plan_ranks.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/progress.h"
#include "distributed/mpi/staging.h"
#include "engine/config_for_rank.h"
#include "engine/scaling.h"

namespace gptmoe {
namespace {

constexpr std::array<int64_t, 2> kZeroStages = {0, 1};

Config with_zero_stage(Config config, int64_t stage) {
  config.distributed.zero_stage = stage;
  return config;
}

// Without measurements, assumes an H200 in a machine with eight of them: 40% of its 989 TFLOP/s in bf16, 85% of its
// memory's 4.8 TB/s, and 80% of NVLink's 450 GB/s each way (or, between machines, of eight network cards of 400 Gb/s).
RankSpeed speed_of(const RanksPlan& plan, double matrix_rate) {
  constexpr double kShareOfMatrixRate = 0.75;
  RankSpeed speed = matrix_rate > 0 ? RankSpeed{kShareOfMatrixRate * matrix_rate, 10e9, 4e9, 10e-6}
                                    : RankSpeed{400e12, 4.1e12, 360e9, 20e-6};
  if (plan.rate > 0) speed.flops = plan.rate * 1e12;
  if (plan.link > 0) speed.link_bytes = plan.link * 1e9;
  if (plan.latency > 0) speed.latency = plan.latency * 1e-6;
  return speed;
}

template <typename Value>
void print_row(const std::string& name, Value&& value) {
  std::printf("  %-20s", name.c_str());
  for (size_t column = 0; column < kZeroStages.size(); ++column) std::printf(" %14s", value(column).c_str());
  std::printf("\n");
}

void print_heading(const std::string& title) {
  std::printf("\n%-22s %14s %14s\n", title.c_str(), "zero_stage 0", "zero_stage 1");
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

void print_memory(const Config& config, const Ops& ops, int ranks, bool on_host) {
  const Config own = config_for_rank(config, ranks);
  std::array<std::vector<Engine::ArenaSize>, 2> sizes;
  std::array<int64_t, 2> totals{};
  for (size_t column = 0; column < kZeroStages.size(); ++column) {
    const Engine engine(with_zero_stage(own, kZeroStages[column]), Purpose::train, own.train.micro_batch_size,
                        own.train.sequence_length, ops, {0, ranks});
    sizes[column] = engine.arena_sizes();
    if (on_host) sizes[column].push_back({"MPI", mpi_staging_bytes(exchanged_bytes(engine.gpt().params(), ranks))});
    for (const Engine::ArenaSize& arena : sizes[column]) totals[column] += arena.bytes;
  }
  print_heading("memory of a rank");
  for (size_t row = 0; row < sizes[0].size(); ++row)
    print_row(sizes[0][row].name, [&](size_t column) { return binary_bytes(sizes[column][row].bytes); });
  print_row("total", [&](size_t column) { return binary_bytes(totals[column]); });
}

void print_prediction(const Config& config, const Ops& ops, int ranks, const RankSpeed& speed) {
  std::array<StepTime, 2> several;
  for (size_t column = 0; column < kZeroStages.size(); ++column)
    several[column] = predict_step(with_zero_stage(config, kZeroStages[column]), ranks, ops, speed);
  const double alone = predict_step(config, 1, ops, speed).in_all();

  print_heading("a rank sends per step");
  for (size_t i = 0; i < kTrafficNames.size(); ++i)
    if (several[0].communication[i].calls + several[1].communication[i].calls > 0)
      print_row(kTrafficNames[i], [&](size_t column) {
        const TrafficCost& cost = several[column].communication[i];
        return metric_count(static_cast<double>(cost.bytes)) + "B/" + std::to_string(cost.calls);
      });
  std::printf("  (bytes with ring collectives / number of collectives)\n");

  print_heading("predicted step");
  print_row("products", [&](size_t column) { return milliseconds(several[column].products); });
  print_row("optimizer", [&](size_t column) { return milliseconds(several[column].optimizer); });
  for (size_t i = 0; i < kTrafficNames.size(); ++i)
    if (several[0].communication[i].seconds + several[1].communication[i].seconds > 0)
      print_row(text("wait: ", kTrafficNames[i]),
                [&](size_t column) { return milliseconds(several[column].communication[i].seconds); });
  print_row("total", [&](size_t column) { return milliseconds(several[column].in_all()); });
  const double tokens = static_cast<double>(config.train.global_batch_size * config.train.sequence_length);
  print_row("tokens/s", [&](size_t column) { return metric_count(tokens / several[column].in_all()); });
  print_row("efficiency", [&](size_t column) {
    return std::to_string(static_cast<int>(100 * alone / (ranks * several[column].in_all()) + 0.5)) + "%";
  });
  std::printf(
      "assumed per rank: %sFLOP/s in a step's products, %sB/s of memory in the optimizer, %sB/s sent in ring "
      "collectives, %.0f us a collective\n(change with --rate, --link, --latency); efficiency is relative to one rank "
      "with the same global batch\n",
      metric_count(speed.flops).c_str(), metric_count(speed.memory_bytes).c_str(),
      metric_count(speed.link_bytes).c_str(), speed.latency * 1e6);
}

}  // namespace

void print_ranks_plan(const Config& config, const Ops& ops, const RanksPlan& plan, double matrix_rate) {
  const int ranks = static_cast<int>(plan.ranks);
  const Config own = config_for_rank(config, ranks);
  std::printf("\nranks       %d, each with %lld micro-batch(es) of %lld per step, gradients in %s\n", ranks,
              static_cast<long long>(own.train.micro_batches(ranks)),
              static_cast<long long>(own.train.micro_batch_size), config.distributed.reduce_dtype.c_str());
  print_memory(config, ops, ranks, matrix_rate > 0);
  print_prediction(config, ops, ranks, speed_of(plan, matrix_rate));
}

}  // namespace gptmoe
