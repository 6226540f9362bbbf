// Ops that balance the experts' loads: the balance loss, loss-free biases, ReMoE's coefficient.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "op_cases/op_case.h"
#include "op_cases/routing_plan.h"

namespace gptmoe {
namespace {

OpCase excess_accumulate(int64_t n, int64_t e) {
  const RoutingPlan plan(n, e, e, Spread::dead_slots);
  OpCase op("excess_accumulate", {n, e});
  op.input("offsets", {e + 1}, listed(plan.offsets), Kind::i64);
  op.any_width("offsets");
  op.result("excess", {1}, Kind::stat);
  op.accumulates("excess");
  op.forward = [=](Ops& ops, const Tensors& t) { ops.excess_accumulate(t["excess"], t["offsets"], 2 * n); };
  op.reference = [=](Values& v) { v["excess"][0] += static_cast<double>(plan.live() - 2 * n); };
  return op;
}

OpCase l1_commit(double coefficient, double excess, std::string_view variant) {
  const double factor = 1.25;
  OpCase op("l1_commit", {1}, variant);
  op.input("coefficient_before", {1}, constant(coefficient), Kind::stat);
  op.input("excess_before", {1}, constant(excess), Kind::stat);
  for (const char* tensor : {"coefficient", "excess"}) {
    op.result(tensor, {1}, Kind::stat);
    op.in_place(tensor, std::string(tensor) + "_before");
  }
  op.forward = [=](Ops& ops, const Tensors& t) { ops.l1_commit(t["coefficient"], t["excess"], factor); };
  op.reference = [=](Values& v) {
    double& moved = v["coefficient"][0];
    moved *= excess > 0 ? factor : excess < 0 ? 1 / factor : 1;
    moved = std::clamp<double>(moved, std::numeric_limits<float>::min(), std::numeric_limits<float>::max());
    v["excess"][0] = 0;
  };
  return op;
}

OpCase load_balance(int64_t n, int64_t e) {
  const double scale = 0.37;
  OpCase op("load_balance", {n, e});
  op.variable("probs", {n, e}, distinct_probabilities(e), Write::add, Kind::stat);
  op.input("fractions", {e}, uniform(0, 1), Kind::stat);
  op.output("loss", {1}, Kind::stat, constant(scale));
  op.forward = [](Ops& ops, const Tensors& t) { ops.load_balance_forward(t["loss"], t["probs"], t["fractions"]); };
  op.backward = [=](Ops& ops, const Tensors& t) { ops.load_balance_backward(t["dprobs"], t["fractions"], scale); };
  op.reference = [=](Values& v) {
    v["loss"][0] = 0;
    for (int64_t i = 0; i < n * e; ++i)
      v["loss"][0] += static_cast<double>(e) * v["fractions"][i % e] * v["probs"][i] / static_cast<double>(n);
  };
  return op;
}

// The scale is multiplied by a coefficient in a tensor.
OpCase load_balance_by_coefficient(int64_t n, int64_t e) {
  const double scale = 0.37, coefficient = 0.625;
  OpCase op = load_balance(n, e);
  op.name += "_by_coefficient";
  op.input("coefficient", {1}, constant(coefficient), Kind::stat);
  op.spec("dloss").fill = constant(scale * coefficient);
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.load_balance_backward(t["dprobs"], t["fractions"], scale, t["coefficient"]);
  };
  return op;
}

// The op's call in the third micro-batch of a step, when `sums` already holds two micro-batches.
OpCase mean_fractions(int64_t e) {
  OpCase op("mean_fractions", {e});
  op.input("fractions", {e}, uniform(0, 1), Kind::stat);
  op.input(
      "sums_before", {e + 1}, [e](const Rng& rng, int64_t i) { return i < e ? 2 * rng.uniform(i) : 2; }, Kind::stat);
  op.result("mean", {e}, Kind::stat);
  op.result("sums", {e + 1}, Kind::stat);
  op.in_place("sums", "sums_before");
  op.forward = [](Ops& ops, const Tensors& t) { ops.mean_fractions(t["mean"], t["sums"], t["fractions"]); };
  op.reference = [=](Values& v) {
    v["sums"][e] += 1;
    for (int64_t i = 0; i < e; ++i) v["mean"][i] = (v["sums"][i] += v["fractions"][i]) / v["sums"][e];
  };
  return op;
}

OpCase load_accumulate(int64_t n, int64_t k, int64_t e) {
  const RoutingPlan plan(n, k, e, Spread::random);
  OpCase op("load_accumulate", {n, k, e});
  op.input("offsets", {e + 1}, listed(plan.offsets), Kind::i64);
  op.result("loads", {e}, Kind::stat);
  op.accumulates("loads");
  op.forward = [](Ops& ops, const Tensors& t) { ops.load_accumulate(t["loads"], t["offsets"]); };
  op.reference = [=](Values& v) {
    for (int64_t expert : plan.expert_ids) v["loads"][expert] += 1;
  };
  return op;
}

// Loads that differ from their mean by one, not at all, and by a lot.
OpCase bias_commit(int64_t e, int64_t base) {
  const double rate = 1e-2;
  OpCase op("bias_commit", {e}, base > 0 ? "large" : "");
  op.input("bias_before", {e}, normal(), Kind::stat);
  op.input(
      "loads_before", {e},
      [=](const Rng& rng, int64_t i) { return static_cast<double>(base + i % 3 + 5 * rng.below(i, 2)); }, Kind::stat);
  for (const char* tensor : {"bias", "loads"}) {
    op.result(tensor, {e}, Kind::stat);
    op.in_place(tensor, std::string(tensor) + "_before");
  }
  op.forward = [=](Ops& ops, const Tensors& t) { ops.bias_commit(t["bias"], t["loads"], rate); };
  op.reference = [=](Values& v) {
    const double mean =
        std::accumulate(v["loads_before"].begin(), v["loads_before"].end(), 0.0) / static_cast<double>(e);
    for (int64_t i = 0; i < e; ++i) {
      const double lack = mean - v["loads_before"][i];
      v["bias"][i] += std::abs(lack) <= 1e-9 * mean ? 0 : std::copysign(rate, lack);
    }
    v["loads"].assign(e, 0);
  };
  op.exact("loads");
  return op;
}

}  // namespace

void add_balance_cases(OpCases& cases) {
  auto& tests = cases.tests;
  for (auto [n, e] : {std::array<int64_t, 2>{1, 1}, {1, 8}, {7, 3}, {33, 8}, {130, 33}, {1600, 33}}) {
    tests.push_back(load_balance(n, e));
    tests.push_back(load_balance_by_coefficient(n, e));
    tests.push_back(mean_fractions(e * n));
  }
  for (auto [n, k, e] : {std::array<int64_t, 3>{1, 1, 1}, {33, 2, 8}, {40, 3, 300}})
    tests.push_back(load_accumulate(n, k, e));
  for (auto [n, e] : {std::array<int64_t, 2>{1, 1}, {33, 8}, {7, 300}}) tests.push_back(excess_accumulate(n, e));
  tests.push_back(l1_commit(1e-8, 17, "too_many"));
  tests.push_back(l1_commit(1e-8, -1, "too_few"));
  tests.push_back(l1_commit(1e-8, 0, "as_planned"));
  tests.push_back(l1_commit(std::numeric_limits<float>::max(), 1, "at_most"));
  tests.push_back(l1_commit(std::numeric_limits<float>::min(), -1, "at_least"));
  for (int64_t base : {0, 1 << 20})
    for (int64_t e : {1, 3, 8, 300}) tests.push_back(bias_commit(e, base));

  cases.benchmarks.push_back(load_balance(4096, 8));
  cases.gpu_benchmarks.push_back(load_balance(16384, 8));
}

}  // namespace gptmoe
