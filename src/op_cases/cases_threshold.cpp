// The threshold router: choices, counts of logits, cutoffs, thresholds.
#include <algorithm>
#include <array>
#include <cmath>

#include "op_cases/op_case.h"

namespace gptmoe {
namespace {

OpCase threshold_router(int64_t n, int64_t e) {
  OpCase op("threshold_router", {n, e});
  // Whole numbers, so that some logits equal their threshold. The op does not choose those.
  const Fill whole = [](const Rng& rng, int64_t i) { return static_cast<double>(rng.below(i, 5)) - 2; };
  op.input("logits", {n, e}, whole, Kind::stat);
  op.input("thresholds", {e}, whole, Kind::stat);
  op.result("ids", {n, e}, Kind::i32);
  op.forward = [](Ops& ops, const Tensors& t) { ops.threshold_router_forward(t["ids"], t["logits"], t["thresholds"]); };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n * e; ++i)
      v["ids"][i] = v["logits"][i] > v["thresholds"][i % e] ? static_cast<double>(i % e) : -1;
  };
  return op;
}

// Some logits are outside the bins, and some on their edges.
OpCase logit_counts(int64_t n, int64_t e, int64_t w) {
  OpCase op("logit_counts", {n, e, w});
  const Fill logits = [](const Rng& rng, int64_t i) {
    return i % 3 == 0 ? std::round(8 * rng.normal(static_cast<uint64_t>(i))) : 8 * rng.normal(static_cast<uint64_t>(i));
  };
  op.input("logits", {n, e}, logits, Kind::stat);
  op.result("counts", {e, w}, Kind::stat);
  op.spec("counts").fill = below(9);
  op.any_width("counts");
  op.exact("counts");
  op.forward = [](Ops& ops, const Tensors& t) { ops.logit_counts(t["counts"], t["logits"]); };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n * e; ++i) {
      const auto bin = static_cast<int64_t>(std::floor((v["logits"][i] + 16) / 32 * static_cast<double>(w)));
      v["counts"][i % e * w + std::clamp<int64_t>(bin, 0, w - 1)] += 1;
    }
  };
  return op;
}

// The reference uses the definition of the cutoff: the wanted number of counted logits is above it.
OpCase count_cutoffs(int64_t e, int64_t w, double share) {
  OpCase op("count_cutoffs", {e, w}, share == 1 ? "all" : "");
  // Most bins are empty; the first of each row is not.
  const Fill counts = [w](const Rng& rng, int64_t i) {
    return i % w == 0 || rng.below(2 * i, 4) == 0 ? 1 + static_cast<double>(rng.below(2 * i + 1, 50)) : 0;
  };
  op.input("counts", {e, w}, counts, Kind::stat);
  op.any_width("counts");
  op.result("cutoffs", {e}, Kind::stat);
  op.forward = [=](Ops& ops, const Tensors& t) { ops.count_cutoffs(t["cutoffs"], t["counts"], share); };
  op.reference = [=](Values& v) {
    const double width = 32.0 / static_cast<double>(w);
    for (int64_t row = 0; row < e; ++row) {
      const double* counts = &v["counts"][row * w];
      double left = 0;
      for (int64_t i = 0; i < w; ++i) left += share * counts[i];
      int64_t bin = w - 1;
      for (; bin > 0 && counts[bin] < left; --bin) left -= counts[bin];
      v["cutoffs"][row] = -16 + width * (static_cast<double>(bin + 1) - left / counts[bin]);
    }
  };
  return op;
}

OpCase pick_thresholds(int64_t e, double steps) {
  OpCase op("pick_thresholds", {e}, steps < 3 ? "warmup" : "");
  op.input("cutoffs", {e}, normal(), Kind::stat);
  op.input("thresholds", {e}, normal(), Kind::stat);
  op.input("steps", {1}, constant(steps), Kind::stat);
  op.result("used", {e}, Kind::stat);
  op.exact("used");
  op.forward = [](Ops& ops, const Tensors& t) {
    ops.pick_thresholds(t["used"], t["cutoffs"], t["thresholds"], t["steps"], 3);
  };
  op.reference = [=](Values& v) { v["used"] = v[steps < 3 ? "cutoffs" : "thresholds"]; };
  return op;
}

OpCase threshold_commit(int64_t e, double steps) {
  constexpr double kDecay = 0.9;
  OpCase op("threshold_commit", {e}, text("after_", steps));
  op.input("cutoffs", {e}, normal(), Kind::stat);
  op.result("thresholds", {e}, Kind::stat);
  op.accumulates("thresholds");
  op.result("steps", {1}, Kind::stat);
  op.spec("steps").fill = constant(steps);
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.threshold_commit(t["thresholds"], t["steps"], t["cutoffs"], kDecay);
  };
  op.reference = [=](Values& v) {
    const double weight = (1 - kDecay) / (1 - std::pow(kDecay, steps + 1));
    for (int64_t i = 0; i < e; ++i) v["thresholds"][i] = (1 - weight) * v["thresholds"][i] + weight * v["cutoffs"][i];
    v["steps"][0] += 1;
  };
  return op;
}

}  // namespace

void add_threshold_cases(OpCases& cases) {
  auto& tests = cases.tests;
  for (auto [n, e] : {std::array<int64_t, 2>{1, 1}, {7, 3}, {33, 8}, {1600, 33}}) {
    tests.push_back(threshold_router(n, e));
    tests.push_back(logit_counts(n, e, 32));
    tests.push_back(logit_counts(n, e, 2048));
  }
  for (int64_t e : {1, 5, 33}) {
    for (double share : {0.125, 0.37, 1.0}) {
      if (share != 0.37) tests.push_back(count_cutoffs(e, 2048, share));
      if (share != 0.125) tests.push_back(count_cutoffs(e, 32, share));
    }
    tests.push_back(pick_thresholds(e, 2));
    tests.push_back(pick_thresholds(e, 3));
    tests.push_back(threshold_commit(e, 0));
    tests.push_back(threshold_commit(e, 7));
  }
  cases.benchmarks.push_back(logit_counts(4096, 8, 2048));
}

}  // namespace gptmoe
