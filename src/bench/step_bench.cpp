#include <omp.h>

#include "base/check.h"
#include "base/json.h"
#include "base/output_file.h"
#include "bench/benches.h"
#include "bench/speed_chart.h"
#include "bench/step_account.h"
#include "engine/notes.h"
#include "report/number_text.h"
#include "report/svg_files.h"

namespace gptmoe {
namespace {

using Json = nlohmann::ordered_json;
using Runs = std::vector<std::unique_ptr<StepRun>>;

double tokens_per_second(const StepRun& run) {
  return static_cast<double>(run.variant().tokens_per_step()) / run.median_seconds();
}

// Speeds relative to `first`, by round.
std::vector<double> ratios_to(const StepRun& first, const StepRun& run) {
  const double tokens =
      static_cast<double>(run.variant().tokens_per_step()) / static_cast<double>(first.variant().tokens_per_step());
  std::vector<double> ratios;
  for (size_t round = 0; round < run.seconds().size(); ++round)
    ratios.push_back(tokens * first.seconds()[round] / run.seconds()[round]);
  return ratios;
}

// "0.993", or with six rounds or more "0.993 (0.990 to 0.996)".
std::string median_with_interval(const std::vector<double>& ratios) {
  const std::optional<Interval> interval = median_interval(ratios);
  return fixed(median(ratios), 3) +
         (interval ? text(" (", fixed(interval->low, 3), " to ", fixed(interval->high, 3), ")") : "");
}

Json to_json(const StepRun& run) {
  const Config& config = run.variant().config;
  const double rate = tokens_per_second(run), matrix_rate = run.ceilings().flops;
  const Timing step = timing_of(run.seconds());
  return {{"peer", "gptmoe"},
          {"config", run.variant().path},
          {"label", run.variant().label},
          {"device", run.ops().describe()},
          {"router", config.router.type},
          {"num_experts", config.model.num_experts},
          {"threads", omp_get_max_threads()},
          {"micro_batches", config.train.micro_batches(1)},
          {"tokens_per_step", run.variant().tokens_per_step()},
          {"us", step.fastest * 1e6},
          {"median_us", step.median * 1e6},
          {"tokens_per_second", rate},
          {"model_gflops", rate * run.flops_per_token() * 1e-9},
          {"matrix_gflops", matrix_rate * 1e-9},
          {"share_of_matrix_rate", rate * run.flops_per_token() / matrix_rate},
          {"planned_mib", static_cast<double>(run.engine().total_bytes()) / (1 << 20)}};
}

void say_speeds(BenchOutput& output, const Runs& runs) {
  output.say(
      "\n| config | experts | tokens per step | tokens/s, median (lowest to highest) | model TFLOP/s "
      "| share of matrix rate | relative to first, median (95 % interval) |\n|---|---:|---:|---:|---:|---:|---:|\n");
  for (const auto& run : runs) {
    const auto tokens = static_cast<double>(run->variant().tokens_per_step());
    const auto [least, most] = std::minmax_element(run->seconds().begin(), run->seconds().end());
    const auto grouped = [&](double seconds) { return grouped_digits(static_cast<int64_t>(tokens / seconds)); };
    const double model_rate = tokens_per_second(*run) * run->flops_per_token();
    output.say(text("| ", run->variant().label, " | ", run->variant().config.model.num_experts, " | ",
                    grouped_digits(run->variant().tokens_per_step()), " | ", grouped(run->median_seconds()), " (",
                    grouped(*most), " to ", grouped(*least), ") | ", fixed(model_rate * 1e-12, 3), " | ",
                    fixed(100 * model_rate / run->ceilings().flops, 1), "% | ",
                    run == runs[0] ? "1" : median_with_interval(ratios_to(*runs[0], *run)), " |\n"));
  }
}

void report(BenchOutput& output, const Runs& runs) {
  for (const auto& run : runs)
    output.say_ceilings(run->ops(), run->ceilings(), runs.size() > 1 ? run->variant().label : "");
  say_speeds(output, runs);
  for (const auto& run : runs) {
    Json line = to_json(*run);
    if (run != runs[0]) {
      const std::vector<double> ratios = ratios_to(*runs[0], *run);
      line["to_first"] = median(ratios);
      if (const auto interval = median_interval(ratios)) line["to_first_interval"] = {interval->low, interval->high};
    }
    if (!run->accounts().empty()) {
      const AccountTable account(*run);
      account.say(output);
      line.update(account.json());
    }
    output.record(line);
  }
}

}  // namespace

void bench_step(const VariantOptions& options, const StepOptions& step, const BenchOptions& bench) {
  std::vector<Variant> variants = make_variants(options, bench);
  BenchOutput output(bench.json);
  std::optional<AtomicFile> chart;
  open_output(chart, "--svg", step.svg);
  Runs runs;
  for (Variant& variant : variants) {
    variant.config.train.steps = step.warmup + (1 + step.account) * step.steps * step.rounds;
    runs.push_back(std::make_unique<StepRun>(variant));
  }
  const auto show = [&](int64_t round, const StepRun& run) {
    output.show_progress(text("bench  ", run.variant().label, ", round ", round, " of ", step.rounds));
  };
  for (const auto& run : runs) show(0, *run), run->train(step.warmup);
  for (int64_t round = 1; round <= step.rounds; ++round) {
    for (const auto& run : runs) show(round, *run), run->time_round(step.steps);
    for (const auto& run : runs)
      if (step.account) run->account_round(step.steps);
  }
  report(output, runs);
  if (chart) {
    std::vector<VariantSpeed> speeds;
    for (const auto& run : runs) speeds.push_back({run->variant(), run->seconds()});
    chart->write(standalone_svg(svg_line_chart(speed_chart(speeds))) + "\n");
    chart->commit();
  }
  output.finish();
  for (const auto& run : runs) print_notes(run->ops());
}

}  // namespace gptmoe
