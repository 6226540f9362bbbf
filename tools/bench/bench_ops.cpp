// Times every benchmark OpCase: bench_ops [name part] [threads]. One row per pass, on warm memory: the fastest of
// repeated runs and their median (far apart: the machine is busy); then, by the fastest, FLOP/s of matrix products and
// bytes/s counting each operand once (twice where it is both read and written).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "base/openmp_wait.h"
#include "kernels/plan_ops.h"
#include "ops/cases/case_run.h"

namespace {

using gptmoe::CaseRun;
using gptmoe::OpCase;
using gptmoe::Ops;
using Clock = std::chrono::steady_clock;

constexpr double kSecondsPerRow = 0.4;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Timing {
  double fastest, median;  // seconds
};

Timing time_pass(const gptmoe::OpPass& pass, Ops& ops, CaseRun& run) {
  std::vector<double> seconds;
  const Clock::time_point begin = Clock::now();
  while (seconds.size() < 5 || seconds_since(begin) < kSecondsPerRow) {
    const Clock::time_point start = Clock::now();
    pass(ops, run);
    seconds.push_back(seconds_since(start));
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds.front(), seconds[seconds.size() / 2]};
}

void benchmark_pass(const std::string& name, const char* pass_name, const gptmoe::OpPass& pass, Ops& ops,
                    CaseRun& run) {
  gptmoe::PlanOps plan(ops);
  run.take_bytes_named();
  pass(plan, run);
  const double bytes = run.take_bytes_named();
  const Timing timing = time_pass(pass, ops, run);
  std::printf("%-46s %-8s %11.1f %11.1f", name.c_str(), pass_name, timing.fastest * 1e6, timing.median * 1e6);
  if (plan.flops() > 0)
    std::printf(" %10.1f", plan.flops() / timing.fastest * 1e-9);
  else
    std::printf(" %10s", "-");
  std::printf(" %10.2f\n", bytes / timing.fastest * 1e-9);
  std::fflush(stdout);
}

void benchmark(const OpCase& op, Ops& ops) {
  CaseRun run(op, ops);
  run.forward();
  run.backward();
  benchmark_pass(op.name, "forward", op.forward, ops, run);
  if (op.backward) benchmark_pass(op.name, "backward", op.backward, ops, run);
}

}  // namespace

int main(int argc, char** argv) {
  gptmoe::limit_openmp_spinning(argv);
  const std::string part = argc > 1 ? argv[1] : "";
  const auto ops = gptmoe::make_cpu_ops(argc > 2 ? std::atoi(argv[2]) : 0);
  std::printf("%s\n%-46s %-8s %11s %11s %10s %10s\n", ops->describe().c_str(), "op", "pass", "us", "median us",
              "GFLOP/s", "GB/s");
  for (const OpCase& op : gptmoe::op_cases().benchmarks)
    if (op.name.find(part) != std::string::npos) benchmark(op, *ops);
  return 0;
}
