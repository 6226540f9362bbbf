
#include "base/check.h"
#include "base/json.h"
#include "bench/benches.h"
#include "bench/layers.h"
#include "engine/notes.h"
#include "report/number_text.h"

namespace gptmoe {
namespace {

struct Measured {
  std::vector<double> forward, backward;  // seconds, by run
};

// The median over the runs of a's time / b's time. A time is that of forward and backward together.
double median_ratio(const Measured& a, const Measured& b) {
  std::vector<double> ratios;
  for (size_t run = 0; run < a.forward.size(); ++run)
    ratios.push_back((a.forward[run] + a.backward[run]) / (b.forward[run] + b.backward[run]));
  return median(ratios);
}

class LayerBench {
 public:
  explicit LayerBench(const Variant& variant) : layers_(variant), measured_(layers_.layers().size()) {}

  void take_ceilings() { ceilings_.push_back(measure_ceilings(layers_.ops())); }
  // Runs all layers of the variant in turn.
  void run() {
    for (size_t i = 0; i < measured_.size(); ++i) {
      const Layers::Layer& layer = layers_.layers()[i];
      measured_[i].forward.push_back(layers_.seconds(layer.forward));
      measured_[i].backward.push_back(layers_.seconds(layer.backward));
    }
  }
  void print_notes() { gptmoe::print_notes(layers_.ops()); }
  void forget() { measured_.assign(measured_.size(), {}); }

  void report(BenchOutput& output) {
    const Ceilings ceilings = best(ceilings_);
    output.say("\n");
    output.say_ceilings(layers_.ops(), ceilings, layers_.label());
    output.record({{"device", layers_.ops().describe()},
                   {"label", layers_.label()},
                   {"matrix_flops_per_second", ceilings.flops},
                   {"copy_bytes_per_second", ceilings.bytes}});
    output.begin_table("pass");
    std::vector<double> flops(measured_.size());  // forward and backward
    for (size_t i = 0; i < measured_.size(); ++i) {
      for (const char* pass : {"forward", "backward"}) {
        const BenchRow measured = row(i, pass);
        flops[i] += measured.flops;
        output.say_row(measured);
        nlohmann::ordered_json line = to_json(measured);
        line["label"] = layers_.label();
        output.record(line);
      }
    }
    const double ratio = flops[0] / flops[1] * median_ratio(measured_[1], measured_[0]);
    output.say(text(
        "FLOP/s of the MoE layer divided by those of a dense FFN of the same active width: ", fixed(ratio, 3), "\n"));
    output.record({{"label", layers_.label()}, {"moe_to_dense", ratio}});
  }

 private:
  BenchRow row(size_t i, const std::string& pass) {
    const Layers::Layer& layer = layers_.layers()[i];
    const bool forward = pass == "forward";
    if (!forward) layers_.seconds(layer.forward);
    const Layers::Cost cost = layers_.cost(forward ? layer.forward : layer.backward, best(ceilings_));
    const Timing timing = timing_of(forward ? measured_[i].forward : measured_[i].backward);
    return {layer.name, pass, layers_.shape(), timing, cost.flops, cost.bytes, cost.floor};
  }

  Layers layers_;
  std::vector<Measured> measured_;
  std::vector<Ceilings> ceilings_;
};

}  // namespace

void bench_layer(const VariantOptions& options, int64_t rounds, const BenchOptions& bench) {
  constexpr int kRunsPerRound = 10;
  const std::vector<Variant> variants = make_variants(options, bench);
  BenchOutput output(bench.json);
  std::vector<std::unique_ptr<LayerBench>> benches;
  for (const Variant& variant : variants) benches.push_back(std::make_unique<LayerBench>(variant));
  for (const auto& layers : benches) layers->run(), layers->forget();  // warms up
  for (int64_t round = 1; round <= rounds; ++round) {
    output.show_progress(text("bench  round ", round, " of ", rounds));
    for (const auto& layers : benches) layers->take_ceilings();
    for (int run = 0; run < kRunsPerRound; ++run)
      for (const auto& layers : benches) layers->run();
  }
  for (const auto& layers : benches) layers->report(output);
  output.finish();
  for (const auto& layers : benches) layers->print_notes();
}

}  // namespace gptmoe
