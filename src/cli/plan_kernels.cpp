#include "cli/plan_kernels.h"

#include <algorithm>
#include <cstdio>

#include "base/progress.h"
#include "engine/config_for_rank.h"
#include "report/number_text.h"

namespace gptmoe {
namespace {

// If an op has several kernels, those that take at least this share of the step are listed below it.
constexpr double kListedShare = 0.002;

std::string if_any(double value, int decimals) { return value > 0 ? fixed(value, decimals) : ""; }
std::string milliseconds(double seconds) { return fixed(1e3 * seconds, 2); }

struct Work {
  double calls, flops, bytes, floor, seconds;  // floor 0: not known
};

void print_work(const std::string& name, const std::string& shape, const Work& work, double step) {
  std::printf("%-30s %-19s %6s %7s %7s %9s %9s %5s%%\n", name.c_str(), shape.c_str(), fixed(work.calls, 0).c_str(),
              if_any(1e-12 * work.flops, 2).c_str(), fixed(1e-9 * work.bytes, 1).c_str(),
              if_any(1e3 * work.floor, 2).c_str(), milliseconds(work.seconds).c_str(),
              fixed(100 * work.seconds / step, 1).c_str());
}

void print_ops(const OpEstimates& ops, double step) {
  std::vector<const OpEstimates::value_type*> rows;
  for (const auto& row : ops) rows.push_back(&row);
  std::stable_sort(rows.begin(), rows.end(), [](auto* a, auto* b) { return a->second.seconds > b->second.seconds; });
  std::printf("\n%-30s %-19s %6s %7s %7s %9s %9s %6s\n", "op, and its kernels", "shape", "calls", "TFLOP", "GB",
              "floor ms", "ms", "share");
  for (const auto* row : rows) {
    const OpEstimate& op = row->second;
    print_work(row->first.first, row->first.second, {op.calls, op.flops, op.bytes, op.floor, op.seconds}, step);
    if (op.kernels.size() < 2) continue;
    for (const KernelEstimate& kernel : op.kernels)
      if (kernel.seconds >= kListedShare * step)
        print_work("  " + kernel.name, "",
                   {static_cast<double>(kernel.launches), kernel.flops, kernel.bytes, 0, kernel.seconds}, step);
  }
}

// The kernels for Hopper, with their tiles, stages and shared memory.
void print_hopper_kernels(const OpEstimates& ops) {
  bool any = false;
  for (const auto& [key, op] : ops)
    for (const KernelEstimate& kernel : op.kernels) {
      if (kernel.tiles.empty()) continue;
      if (!any)
        std::printf("\n%-40s %-19s %-39s %6s %7s %9s\n", "Hopper's kernels", "shape", "tile, stages, shared memory",
                    "calls", "GB", "ms");
      any = true;
      std::printf("%-40s %-19s %-39s %6s %7s %9s\n", text(key.first, ": ", kernel.name).c_str(), key.second.c_str(),
                  kernel.tiles.c_str(), fixed(static_cast<double>(kernel.launches), 0).c_str(),
                  fixed(1e-9 * kernel.bytes, 1).c_str(), milliseconds(kernel.seconds).c_str());
    }
}

void print_sum(const std::string& name, double floor, double seconds, double step) {
  std::printf("%-30s %9s %9s %5s%%\n", name.c_str(), if_any(1e3 * floor, 2).c_str(), milliseconds(seconds).c_str(),
              fixed(100 * seconds / step, 1).c_str());
}

// Prints the step as a sum of parts. One part is the gaps between kernels.
void print_parts(const OpEstimates& ops, const StepPrediction& prediction) {
  const double step = prediction.in_all();
  std::array<double, kParts> floors{}, seconds{};
  double gaps = 0, launches = 0, floor = 0;
  for (const auto& [key, op] : ops) {
    const auto part = static_cast<size_t>(op.part);
    floors[part] += op.floor;
    seconds[part] += op.seconds - op.gaps;
    floor += op.floor;
    gaps += op.gaps;
    for (const KernelEstimate& kernel : op.kernels) launches += static_cast<double>(kernel.launches);
  }
  std::printf("\n%-30s %9s %9s %6s\n", "part", "floor ms", "ms", "share");
  for (size_t part = 0; part < kParts; ++part)
    print_sum(part_name(static_cast<Part>(part)), floors[part], seconds[part], step);
  print_sum(text("gaps between ", grouped_digits(static_cast<int64_t>(launches)), " kernels"), 0, gaps, step);
  if (prediction.slowed > 0) print_sum("slowed by collectives", 0, prediction.slowed, step);
  for (size_t i = 0; i < kTrafficNames.size(); ++i)
    if (prediction.communication[i].seconds > 0)
      print_sum(text("wait: ", kTrafficNames[i]), 0, prediction.communication[i].seconds, step);
  print_sum("step", floor, step, step);
}

void print_collectives(const StepPrediction& prediction) {
  std::printf("\n%-16s %-15s %7s %9s %9s %-4s %9s %9s\n", "traffic", "collective", "calls", "GB", "MB a call", "as",
              "ms", "us a call");
  for (const auto& [key, total] : prediction.collectives) {
    const auto calls = static_cast<double>(total.calls);
    std::printf("%-16s %-15s %7s %9s %9s %-4s %9s %9s\n", kTrafficNames[static_cast<size_t>(key.first)],
                collective_name(key.second), fixed(calls, 0).c_str(), fixed(1e-9 * total.bytes, 3).c_str(),
                fixed(1e-6 * total.bytes / calls, 3).c_str(), total.algorithm, milliseconds(total.seconds).c_str(),
                fixed(1e6 * total.seconds / calls, 0).c_str());
  }
  double running = 0;
  for (const auto& [key, total] : prediction.collectives) running += total.seconds;
  std::printf("collectives run for %s ms a step; the ops wait for %s ms of this\n", milliseconds(running).c_str(),
              milliseconds(prediction.waiting()).c_str());
}

// Prints `sentence`, broken into lines of at most 100 columns.
void print_wrapped(const std::string& head, const std::string& sentence) {
  constexpr size_t kColumns = 100, kIndent = 22;
  std::string line = head + std::string(kIndent - std::min(kIndent, head.size()), ' ');
  for (size_t at = 0; at < sentence.size();) {
    const size_t end = std::min(sentence.find(' ', at), sentence.size());
    if (line.size() + end - at > kColumns) {
      std::printf("%s\n", line.substr(0, line.find_last_not_of(' ') + 1).c_str());
      line = std::string(kIndent, ' ');
    }
    line += sentence.substr(at, end - at) + " ";
    at = end + 1;
  }
  std::printf("%s\n", line.substr(0, line.find_last_not_of(' ') + 1).c_str());
}

}  // namespace

void print_kernels_plan(const Config& config, const Engine& engine, const Ops& ops, int ranks, const PlanSpeed& speed) {
  const Config own = config_for_rank(config, ranks);
  GpuTimes times(speed.gpu(), engine.gpt().live_share());
  const StepPrediction prediction = predict_step(config, ops, times, speed.network(ranks));
  const double step = prediction.in_all();
  std::printf("\npredicted, not measured: a step of one rank of %d, %lld micro-batch(es) of %lld x %lld, %s\n", ranks,
              static_cast<long long>(prediction.micro_batches), static_cast<long long>(own.train.micro_batch_size),
              static_cast<long long>(own.train.sequence_length), dtype_name(ops.compute_dtype()));
  print_ops(times.ops(), step);
  print_hopper_kernels(times.ops());
  print_parts(times.ops(), prediction);
  if (ranks > 1) print_collectives(prediction);

  const auto tokens = static_cast<double>(config.train.tokens_per_step());
  const double flops = tokens * (engine.forward_flops_per_token() + engine.backward_flops_per_token()) / ranks;
  std::printf("\n%-22s%s ms\n%-22s%s ms\n", "a micro-batch", milliseconds(prediction.micro_batch).c_str(), "a step",
              milliseconds(step).c_str());
  std::printf("%-22s%s (%s per GPU)\n", "tokens/s", grouped_digits(static_cast<int64_t>(tokens / step)).c_str(),
              grouped_digits(static_cast<int64_t>(tokens / step / ranks)).c_str());
  std::printf("%-22s%s TFLOP/s per GPU, %s%% of the peak of %s (MFU), %s%% of large products\n", "model",
              fixed(1e-12 * flops / step, 1).c_str(), fixed(100 * flops / step / speed.peak(), 1).c_str(),
              fixed(1e-12 * speed.peak(), 0).c_str(), fixed(100 * flops / step / speed.product(), 1).c_str());
  std::printf("\n%s", ranks == 1 ? speed.assumptions(1).c_str() : "also assumed:\n");
  for (int limit = 0; limit < kLimits; ++limit) {
    const bool of_hopper =
        static_cast<Limit>(limit) == Limit::hopper_product || static_cast<Limit>(limit) == Limit::hopper_attention;
    if (of_hopper && !speed.gpu().hopper_kernels) continue;
    print_wrapped(text("  ", limit_name(static_cast<Limit>(limit))), limit_reason(static_cast<Limit>(limit)));
  }
  print_wrapped("  floor",
                "the FLOPs at the rate of large products or the bytes at that of large copies, whichever takes "
                "longer; caches are ignored");
}

}  // namespace gptmoe
