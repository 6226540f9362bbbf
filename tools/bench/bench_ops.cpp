// Times every benchmark OpCase, a row for each pass, as a Markdown table:
//   bench_ops [name part] [--device auto|cpu|cuda] [--precision auto|f32|bf16] [--threads n]
// On a CPU the sizes are those of small models, on a GPU those of configs/paper/8c1_*.json. A row has the fastest and
// the median of repeated rounds (far apart: the machine is busy); then, by the fastest, the rate of its matrix
// products, and the memory's, each operand counted once (twice where it is both read and written); both also as a share
// of what this device reached just before, with large products and a large copy. On a GPU a round is many runs between
// two waits; operands ("MB") that fit its L2 cache stay there, and then the memory's share may pass 100%.
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>

#include "base/arena.h"
#include "base/openmp_wait.h"
#include "kernels/plan_ops.h"
#include "ops/cases/case_run.h"
#include "train/backend.h"

namespace {

using namespace gptmoe;
using Clock = std::chrono::steady_clock;

constexpr double kSecondsPerRow = 0.4, kSecondsPerRound = 5e-3;

struct Timing {
  double fastest, median;  // seconds
};

double seconds_of(const OpPass& pass, Ops& ops, const Tensors& tensors, int runs) {
  ops.synchronize();
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < runs; ++i) pass(ops, tensors);
  ops.synchronize();
  return std::chrono::duration<double>(Clock::now() - start).count() / runs;
}

Timing time_pass(const OpPass& pass, Ops& ops, const Tensors& tensors) {
  // On the CPU a run is over when it returns, and each is a round.
  const double first = seconds_of(pass, ops, tensors, 1);
  const int runs = ops.memory().on_host() ? 1 : std::clamp(static_cast<int>(kSecondsPerRound / first), 1, 1000);
  std::vector<double> seconds;
  const Clock::time_point begin = Clock::now();
  while (seconds.size() < 5 || std::chrono::duration<double>(Clock::now() - begin).count() < kSecondsPerRow)
    seconds.push_back(seconds_of(pass, ops, tensors, runs));
  std::sort(seconds.begin(), seconds.end());
  return {seconds.front(), seconds[seconds.size() / 2]};
}

// Bytes read and written a second by a copy that no cache holds.
double measure_copy_rate(Ops& ops) {
  const int64_t count = int64_t{ops.memory().on_host() ? 64 : 256} << 20;
  Arena arena("copy rate");
  arena.allocate(DType::f32, {2, count});
  arena.commit(ops.memory());
  const Tensor both = arena.allocate(DType::f32, {2, count});
  const OpPass copy = [&](Ops& o, const Tensors&) { o.copy(both.rows(0, 1), both.rows(1, 1)); };
  struct NoTensors final : Tensors {
    const Tensor& operator[](std::string_view) const override { return none; }
    Tensor none;
  };
  return static_cast<double>(both.bytes()) / time_pass(copy, ops, NoTensors()).fastest;
}

struct Ceilings {
  double flops, bytes;  // a second
};

void benchmark_pass(const std::string& name, const char* pass_name, const OpPass& pass, Ops& ops, CaseRun& run,
                    const Ceilings& ceilings) {
  PlanOps plan(ops);
  run.take_bytes_named();
  pass(plan, run);
  const double bytes = run.take_bytes_named();
  const Timing timing = time_pass(pass, ops, run);
  const double flop_rate = plan.flops() / timing.fastest, byte_rate = bytes / timing.fastest;
  std::printf("| %-44s | %-8s | %10.1f | %10.1f | %9.1f |", name.c_str(), pass_name, timing.fastest * 1e6,
              timing.median * 1e6, bytes * 1e-6);
  if (plan.flops() > 0)
    std::printf(" %8.3f | %5.1f |", flop_rate * 1e-12, 100 * flop_rate / ceilings.flops);
  else
    std::printf(" %8s | %5s |", "-", "-");
  std::printf(" %8.1f | %5.1f |\n", byte_rate * 1e-9, 100 * byte_rate / ceilings.bytes);
  std::fflush(stdout);
}

void benchmark(const OpCase& op, Ops& ops, const Ceilings& ceilings) {
  CaseRun run(op, ops);
  run.forward();
  run.backward();
  benchmark_pass(op.name, "forward", op.forward, ops, run, ceilings);
  if (op.backward) benchmark_pass(op.name, "backward", op.backward, ops, run, ceilings);
}

struct Arguments {
  std::string part;
  Config config;  // device and precision
  int threads = 0;
};

void run(const Arguments& arguments) {
  if (arguments.threads > 0) omp_set_num_threads(arguments.threads);
  const auto ops = make_backend(arguments.config);
  const Ceilings ceilings{measure_matrix_rate(*ops), measure_copy_rate(*ops)};
  std::printf("%s; large matrix products %.2f TFLOP/s, large copies %.0f GB/s\n\n", ops->describe().c_str(),
              ceilings.flops * 1e-12, ceilings.bytes * 1e-9);
  std::printf(
      "| op | pass | us | median us | MB | TFLOP/s | %% | GB/s | %% |\n|---|---|---:|---:|---:|---:|---:|---:|---:|\n");
  for (const OpCase& op : ops->memory().on_host() ? op_cases().benchmarks : op_cases().gpu_benchmarks)
    if (op.name.find(arguments.part) != std::string::npos) benchmark(op, *ops, ceilings);
}

}  // namespace

int main(int argc, char** argv) {
  limit_openmp_spinning(argv);
  Arguments arguments;
  CLI::App app{"bench_ops: times gptmoe's operations"};
  app.add_option("part", arguments.part, "Only ops whose names contain this");
  app.add_option("--device", arguments.config.device)
      ->check(CLI::IsMember({"auto", "cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--precision", arguments.config.precision)
      ->check(CLI::IsMember({"auto", "f32", "bf16"}))
      ->capture_default_str();
  app.add_option("--threads", arguments.threads, "0: all");
  try {
    app.parse(argc, argv);
    run(arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_ops: %s\n", error.what());
    return 2;
  }
}
