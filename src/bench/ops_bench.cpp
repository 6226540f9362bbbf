
#include "base/check.h"
#include "base/json.h"
#include "bench/benches.h"
#include "engine/backend.h"
#include "engine/notes.h"
#include "op_cases/case_cost.h"
#include "op_cases/case_run.h"
#include "predict/gpu_times.h"

namespace gptmoe {
namespace {

// The sum of the predicted times of all calls that it sees.
class PredictedSum final : public OpObserver {
 public:
  PredictedSum(const Gpu& gpu, double live_share) : gpu_(gpu), live_share_(live_share) {}
  void before(const OpCall& call) override { seconds_ += call_seconds(call, gpu_, live_share_); }
  double seconds() const { return seconds_; }

 private:
  const Gpu& gpu_;
  double live_share_, seconds_ = 0;
};

class OpsBench {
 public:
  OpsBench(Ops& ops, BenchOutput& output)
      : ops_(ops), output_(output), ceilings_(measure_ceilings(ops)), gpu_(gpu_described(ops.describe())) {
    output_.say_ceilings(ops, ceilings_);
    output_.record({{"device", ops.describe()},
                    {"matrix_flops_per_second", ceilings_.flops},
                    {"copy_bytes_per_second", ceilings_.bytes}});
    output_.begin_table("pass", false, gpu_ != nullptr);
  }

  void measure(const OpCase& op) {
    CaseRun run(op, ops_);
    run.forward();
    run.backward();
    measure("forward", op.forward, forward_cost(op, ops_), run);
    if (op.backward) measure("backward", op.backward, backward_cost(op, ops_), run);
  }

 private:
  void measure(const std::string& name, const OpPass& pass, const PassCost& cost, CaseRun& run) {
    BenchRow row{run.op().op, name, run.op().shape, {}, cost.flops, cost.bytes};
    row.floor = ceilings_.floor_of(row.flops, row.bytes);
    if (gpu_) {
      PredictedSum predicted(*gpu_, live_share_of(run.op()));
      observe_pass(run.op(), pass, ops_, predicted);
      row.predicted = predicted.seconds();
    }
    row.timing = time_rounds(ops_, [&] { pass(ops_, run); });
    output_.say_row(row);
    output_.record(to_json(row));
  }

  Ops& ops_;
  BenchOutput& output_;
  Ceilings ceilings_;
  const Gpu* gpu_;  // nullptr: no predictions
};

}  // namespace

void bench_ops(const std::string& part, const BenchOptions& options) {
  Config config;
  if (!options.device.empty()) config.device = options.device;
  if (!options.precision.empty()) config.precision = options.precision;
  if (!options.hopper.empty()) config.kernels.hopper = options.hopper;
  const auto ops = make_backend(config, choose_hopper_with_note(config, options.hopper_check));
  std::vector<const OpCase*> chosen;
  for (const OpCase& op : ops->memory().on_host() ? op_cases().benchmarks : op_cases().gpu_benchmarks)
    if (op.name.find(part) != std::string::npos) chosen.push_back(&op);
  if (chosen.empty()) user_error("no op's name contains \"", part, "\"; gptmoe bench ops lists them");

  BenchOutput output(options.json);
  OpsBench bench(*ops, output);
  for (size_t i = 0; i < chosen.size(); ++i) {
    output.show_progress(text("bench  ", chosen[i]->name, ", ", i + 1, " of ", chosen.size()));
    bench.measure(*chosen[i]);
  }
  output.finish();
  print_notes(*ops);
}

}  // namespace gptmoe
