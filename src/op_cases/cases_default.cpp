// Default vectors: clipping, accumulation, commit; and each expert's share of the assignments.
#include <algorithm>
#include <cmath>

#include "op_cases/op_case.h"
#include "op_cases/routing_plan.h"

namespace gptmoe {
namespace {

double norm(const double* row, int64_t c) {
  double squares = 0;
  for (int64_t i = 0; i < c; ++i) squares += row[i] * row[i];
  return std::sqrt(squares);
}

OpCase default_clip_scale(int64_t r, int64_t c, double clip) {
  OpCase op("default_clip_scale", {r, c}, clip < 1 ? "low" : "");
  // Every fifth row is ten times larger.
  op.input("rows", {r, c}, [c](const Rng& rng, int64_t i) { return rng.normal(i) * (i / c % 5 == 4 ? 10 : 1); });
  op.result("scale", {r}, Kind::stat);
  op.any_width("rows");
  op.forward = [=](Ops& ops, const Tensors& t) { ops.default_clip_scale(t["scale"], t["rows"], clip); };
  op.reference = [=](Values& v) {
    std::vector<double> norms(r);
    for (int64_t i = 0; i < r; ++i) norms[i] = norm(&v["rows"][i * c], c);
    std::vector<double> sorted = norms;
    std::sort(sorted.begin(), sorted.end());
    for (int64_t i = 0; i < r; ++i) v["scale"][i] = std::min(1.0, clip * sorted[(r - 1) / 2] / norms[i]);
  };
  return op;
}

// The three means of Default MoE: sum(row) / count, sum(gate * row) / count, sum(gate * row) / sum(gate).
enum class Mean { rows, gated, by_gates };

OpCase default_accumulate(const RoutingShape& shape, int64_t c, Mean mean, bool with_scale) {
  const auto [n, k, e, spread] = shape;
  const int64_t rows = n * k;
  const RoutingPlan plan = shape.plan();
  std::string variant(spread_name(spread));
  const bool with_gates = mean != Mean::rows;
  const Divisor divisor = mean == Mean::by_gates ? Divisor::gates : Divisor::rows;
  if (with_gates) variant += std::string(variant.empty() ? "" : "_") + (mean == Mean::gated ? "gated" : "by_gates");
  if (with_scale) variant += variant.empty() ? "scale" : "_scale";
  OpCase op("default_accumulate", {n, k, e, c}, variant);
  op.input("rows", {rows, c}, normal());
  op.input("slots", {rows}, listed(plan.slots), Kind::i32);
  op.input("offsets", {e + 1}, listed(plan.offsets), Kind::i64);
  op.input("gates", {n, k}, uniform(0.05, 1), Kind::stat);
  op.input("scale", {rows}, uniform(0.05, 1), Kind::stat);
  op.result("sums", {e, c}, Kind::stat);
  op.result("divisors", {e}, Kind::stat);
  op.accumulates("sums");
  op.accumulates("divisors");
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.default_accumulate(t["sums"], t["divisors"], t["rows"], with_gates ? t["gates"] : Tensor{}, t["slots"],
                           t["offsets"], with_scale ? t["scale"] : Tensor{}, divisor);
  };
  op.reference = [=](Values& v) {
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t slot = plan.slots[row], expert = plan.expert_ids[slot];
      const double weight = with_gates ? v["gates"][slot] : 1;
      v["divisors"][expert] += divisor == Divisor::gates ? weight : 1;
      for (int64_t i = 0; i < c; ++i)
        v["sums"][expert * c + i] += weight * (with_scale ? v["scale"][row] : 1) * v["rows"][row * c + i];
    }
  };
  return op;
}

// Every third expert, from the second, saw no token. Its sums still hold values, which must not matter.
OpCase default_commit(int64_t e, int64_t c, bool decay_unseen) {
  const double beta = 0.9;
  OpCase op("default_commit", {e, c}, decay_unseen ? "decay" : "");
  op.input("default_before", {e, c}, normal(), Kind::stat);
  op.input("sums_before", {e, c}, normal(), Kind::stat);
  op.input(
      "divisors_before", {e}, [](const Rng& rng, int64_t i) { return i % 3 == 1 ? 0 : 0.1 + 5 * rng.uniform(i); },
      Kind::stat);
  for (const char* tensor : {"default", "sums"}) op.result(tensor, {e, c}, Kind::stat);
  op.result("divisors", {e}, Kind::stat);
  for (const char* tensor : {"default", "sums", "divisors"}) op.in_place(tensor, std::string(tensor) + "_before");
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.default_commit(t["default"], t["sums"], t["divisors"], beta, decay_unseen);
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < e * c; ++i)
      if (const double divisor = v["divisors_before"][i / c]; divisor > 0)
        v["default"][i] = beta * v["default"][i] + (1 - beta) * v["sums_before"][i] / divisor;
      else if (decay_unseen)
        v["default"][i] *= beta;
    v["sums"].assign(e * c, 0);
    v["divisors"].assign(e, 0);
  };
  op.exact("sums");
  op.exact("divisors");
  return op;
}

OpCase expert_fractions(const RoutingShape& shape, int ranks) {
  const auto [n, k, e, spread] = shape;
  const RoutingPlan plan = shape.plan();
  OpCase op("expert_fractions", {n, k, e}, text(spread_name(spread), "_ranks", ranks));
  op.input("offsets", {e + 1}, listed(plan.offsets), Kind::i64);
  op.result("fractions", {e}, Kind::stat);
  const int64_t assignments = n * k * ranks;
  op.forward = [=](Ops& ops, const Tensors& t) { ops.expert_fractions(t["fractions"], t["offsets"], assignments); };
  op.reference = [=, e = e](Values& v) {
    v["fractions"].assign(e, 0);
    for (int64_t expert : plan.expert_ids)
      if (expert >= 0) v["fractions"][expert] += 1 / static_cast<double>(assignments);
  };
  return op;
}

}  // namespace

void add_default_cases(OpCases& cases) {
  auto& tests = cases.tests;
  for (auto [r, c] : {std::array<int64_t, 2>{1, 1}, {2, 5}, {7, 5}, {33, 24}, {130, 64}, {1030, 50}}) {
    tests.push_back(default_clip_scale(r, c, 2));
    tests.push_back(default_clip_scale(r, c, 0.75));
  }
  int64_t c = 1;
  for (const RoutingShape& shape : routing_shapes()) {
    for (int ranks : {1, 3}) tests.push_back(expert_fractions(shape, ranks));
    for (Mean mean : {Mean::rows, Mean::gated, Mean::by_gates})
      for (bool with_scale : {false, true}) tests.push_back(default_accumulate(shape, c, mean, with_scale));
    c = next_width(c);
  }
  tests.push_back(expert_fractions({300, 8, 8, Spread::dead_slots}, 2));
  // More experts than a warp has lanes, and more rows than the CUDA kernels sum at once.
  tests.push_back(default_accumulate({40, 2, 70}, 24, Mean::by_gates, true));
  tests.push_back(default_accumulate(kTileEdges, 24, Mean::by_gates, true));
  for (auto [e, c] : {std::array<int64_t, 2>{1, 1}, {3, 5}, {8, 24}, {33, 64}, {70, 1030}})
    for (bool decay_unseen : {false, true}) tests.push_back(default_commit(e, c, decay_unseen));

  cases.benchmarks.push_back(default_clip_scale(4096, 256, 2));
  cases.benchmarks.push_back(default_accumulate({4096, 1, 8}, 256, Mean::gated, false));
  cases.benchmarks.push_back(default_accumulate({4096, 4, 32}, 256, Mean::gated, true));
  cases.gpu_benchmarks.push_back(default_accumulate({16384, 1, 8}, 1024, Mean::gated, false));
}

}  // namespace gptmoe
