// SparseMixer's choice, its gradient estimate, its sampler.
#include <algorithm>
#include <cmath>

#include "op_cases/op_case.h"

namespace gptmoe {
namespace {

constexpr int64_t kKey = 0x1234567890ABC, kPosition = 5'000'000'000, kFirst = -17;

struct Shape {
  int64_t n, k, e;
  double threshold;
};

// The random words that a token draws in a round, computed as base/rng.h does.
std::array<uint32_t, 4> words(int64_t token, int64_t round) {
  const auto at = static_cast<uint64_t>(kPosition + kFirst + token);
  return philox4x32({static_cast<uint32_t>(at), static_cast<uint32_t>(at >> 32), static_cast<uint32_t>(round), 0},
                    {static_cast<uint32_t>(kKey), static_cast<uint32_t>(static_cast<uint64_t>(kKey) >> 32)});
}

// Follows GRIN: each round masks the experts that earlier rounds chose. It also masks an expert if its score is too far
// below the largest score, relative to max(|score|, largest score).
void choose_naively(Values& v, const Shape& shape, bool sampled) {
  const auto [n, k, e, threshold] = shape;
  for (int64_t token = 0; token < n; ++token) {
    const double* scores = &v["logits"][token * e];
    std::vector<bool> taken(e, false);
    for (int64_t round = 0; round < k; ++round) {
      double* p = &v["shares"][(token * k + round) * e];
      int64_t best = -1;
      for (int64_t i = 0; i < e; ++i)
        if (!taken[i] && (best < 0 || scores[i] > scores[best])) best = i;
      double sum = 0;
      for (int64_t i = 0; i < e; ++i) {
        const double factor = std::max(std::abs(scores[i]), scores[best]);
        const bool masked = taken[i] || (scores[best] - scores[i]) / factor > 2 * threshold;
        sum += p[i] = masked ? 0 : std::exp(scores[i]);
      }
      int64_t expert = best;
      double gate_of_share = 1, through = 0;
      if (sampled) {
        const auto drawn = words(token, round);
        for (expert = 0; expert < e; ++expert)
          if ((through += p[expert]) > sum * (drawn[0] >> 8) / 0x1000000) break;
        if (expert != best && drawn[1] >= 0x40000000) gate_of_share = 1.0 / 3;
      }
      for (int64_t i = 0; i < e; ++i) p[i] /= sum;
      taken[expert] = true;
      v["ids"][token * k + round] = static_cast<double>(expert);
      v["gates"][token * k + round] = gate_of_share * p[expert];
    }
  }
}

std::string variant(const Shape& shape, bool sampled) {
  return text(sampled ? "sampled" : "largest", "_within_", static_cast<int>(100 * shape.threshold));
}

// The op without a sampler: it chooses the experts with the largest logits. Then the backward's estimate is the exact
// gradient, so finite differences can check it.
OpCase largest(const Shape& shape) {
  const auto [n, k, e, threshold] = shape;
  OpCase op("sparsemixer", {n, k, e}, variant(shape, false));
  op.variable("logits", {n, e}, normal(0.5), Write::add, Kind::stat);
  op.result("ids", {n, k}, Kind::i32);
  op.output("gates", {n, k}, Kind::stat);
  op.result("shares", {n, k * e}, Kind::stat);
  op.forward = [threshold = threshold](Ops& ops, const Tensors& t) {
    ops.sparsemixer_forward(t["ids"], t["gates"], t["shares"], t["logits"], threshold);
  };
  op.backward = [](Ops& ops, const Tensors& t) {
    ops.sparsemixer_backward(t["dlogits"], t["dgates"], t["ids"], t["shares"]);
  };
  op.reference = [=](Values& v) { choose_naively(v, shape, false); };
  return op;
}

OpCase sampled(const Shape& shape) {
  const auto [n, k, e, threshold] = shape;
  OpCase op("sparsemixer", {n, k, e}, variant(shape, true));
  op.input("logits", {n, e}, normal(0.5), Kind::stat);
  op.input("sampler", {2}, listed(std::vector<int64_t>{kKey, kPosition}), Kind::i64);
  op.result("ids", {n, k}, Kind::i32);
  op.result("gates", {n, k}, Kind::stat);
  op.result("shares", {n, k * e}, Kind::stat);
  op.forward = [threshold = threshold](Ops& ops, const Tensors& t) {
    ops.sparsemixer_forward(t["ids"], t["gates"], t["shares"], t["logits"], threshold, t["sampler"], kFirst);
  };
  op.reference = [=](Values& v) { choose_naively(v, shape, true); };
  return op;
}

// The backward's estimate for arbitrary choices, which is not a gradient. With g the gradient of the round's gate and
// p_c the chosen expert's share, GRIN adds g p_c ([i = c] - p_i) to the gradient of score i in each round. The factor
// of the gate (1 or 1/3) does not enter.
OpCase estimate(int64_t n, int64_t k, int64_t e) {
  OpCase op("sparsemixer_estimate", {n, k, e});
  op.input("dgates", {n, k}, normal(), Kind::stat);
  op.input(
      "ids", {n, k}, [=](const Rng&, int64_t i) { return static_cast<double>((i / k * 3 + i % k) % e); }, Kind::i32);
  op.input("shares", {n, k * e}, uniform(0, 1), Kind::stat);
  op.result("dlogits", {n, e}, Kind::stat);
  op.accumulates("dlogits");
  op.forward = [](Ops& ops, const Tensors& t) {
    ops.sparsemixer_backward(t["dlogits"], t["dgates"], t["ids"], t["shares"]);
  };
  op.reference = [=](Values& v) {
    for (int64_t slot = 0; slot < n * k; ++slot) {
      const auto chosen = static_cast<int64_t>(v["ids"][slot]);
      const double* p = &v["shares"][slot * e];
      const double gradient = v["dgates"][slot] * p[chosen];
      for (int64_t i = 0; i < e; ++i) v["dlogits"][slot / k * e + i] += gradient * ((i == chosen ? 1 : 0) - p[i]);
    }
  };
  return op;
}

OpCase sampler_advance() {
  OpCase op("sampler_advance", {2});
  op.input("before", {2}, listed(std::vector<int64_t>{kKey, kPosition}), Kind::i64);
  op.result("sampler", {2}, Kind::i64);
  op.in_place("sampler", "before");
  op.forward = [](Ops& ops, const Tensors& t) { ops.sampler_advance(t["sampler"], 4096); };
  op.reference = [](Values& v) { v["sampler"][1] += 4096; };
  return op;
}

}  // namespace

void add_sparsemixer_cases(OpCases& cases) {
  for (const auto& [n, k, e] :
       {std::array<int64_t, 3>{1, 1, 1}, {33, 1, 8}, {70, 2, 5}, {33, 5, 5}, {300, 4, 33}, {40, 2, 70}}) {
    for (double threshold : {0.01, 0.25, 100.0}) {
      cases.tests.push_back(largest({n, k, e, threshold}));
      cases.tests.push_back(sampled({n, k, e, threshold}));
    }
    cases.tests.push_back(estimate(n, k, e));
  }
  cases.tests.push_back(sampler_advance());
  cases.benchmarks.push_back(sampled({4096, 1, 8, 0.01}));
  cases.benchmarks.push_back(sampled({4096, 4, 32, 0.01}));
  cases.benchmarks.push_back(estimate(4096, 4, 32));
}

}  // namespace gptmoe
