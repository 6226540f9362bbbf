// Router logits, softmax, top-k, entropy, balance losses.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "op_cases/op_case.h"
#include "op_cases/routing_plan.h"

namespace gptmoe {
namespace {

// Rows that sum to about 1 with no two values closer than 1 / E^2, in an order of its own for every row: finite steps
// do not change who is chosen.
Fill distinct_probabilities(int64_t e) {
  return [e](const Rng& rng, int64_t i) {
    const int64_t row = i / e;
    int64_t stride = 1 + static_cast<int64_t>(rng.below(2 * row, e));
    while (std::gcd(stride, e) != 1) ++stride;
    const int64_t rank = (i % e * stride + static_cast<int64_t>(rng.below(2 * row + 1, e))) % e;
    const double jitter = 0.25 * rng.uniform(i);
    return (static_cast<double>(rank) + 0.75 + jitter) / (0.5 * static_cast<double>(e * (e + 1)));
  };
}

OpCase router_linear(int64_t n, int64_t c, int64_t e, Write dx_write) {
  OpCase op("router_linear", {n, c, e}, dx_write == Write::add ? "dadd" : "");
  op.variable("x", {n, c}, normal(), dx_write);
  op.variable("w", {e, c}, normal(), Write::add, Kind::stat);
  op.output("logits", {n, e}, Kind::stat);
  op.forward = [](Ops& ops, const Tensors& t) { ops.router_linear_forward(t["logits"], t["x"], t["w"]); };
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.router_linear_backward(t["dx"], t["dw"], t["dlogits"], t["x"], t["w"], dx_write);
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n * e; ++i) {
      v["logits"][i] = 0;
      for (int64_t j = 0; j < c; ++j) v["logits"][i] += v["x"][i / e * c + j] * v["w"][i % e * c + j];
    }
  };
  return op;
}

void softmax_naively(Values& v, int64_t n, int64_t e) {
  for (int64_t i = 0; i < n; ++i) {
    const double* logits = &v["logits"][i * e];
    const double largest = *std::max_element(logits, logits + e);
    double sum = 0;
    for (int64_t j = 0; j < e; ++j) sum += std::exp(logits[j] - largest);
    for (int64_t j = 0; j < e; ++j) v["probs"][i * e + j] = std::exp(logits[j] - largest) / sum;
    v["lse"][i] = largest + std::log(sum);
  }
}

// in_place: dlogits overwrites dprobs.
OpCase router_softmax(int64_t n, int64_t e, bool in_place, double spread = 1, std::string_view variant = "") {
  OpCase op("router_softmax", {n, e}, in_place ? "dlogits_is_dprobs" : variant);
  op.variable("logits", {n, e}, normal(0, spread), Write::assign, Kind::stat);
  op.output("probs", {n, e}, Kind::stat);
  op.result("lse", {n}, Kind::stat);
  if (in_place) op.in_place("dlogits", "dprobs");
  op.forward = [](Ops& ops, const Tensors& t) { ops.router_softmax_forward(t["probs"], t["lse"], t["logits"]); };
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.router_softmax_backward(t["dlogits"], t[in_place ? "dlogits" : "dprobs"], t["probs"]);
  };
  op.reference = [=](Values& v) { softmax_naively(v, n, e); };
  return op;
}

void choose_naively(Values& v, int64_t n, int64_t k, int64_t e, bool normalize) {
  std::vector<int64_t> order(e);
  for (int64_t i = 0; i < n; ++i) {
    const double* probs = &v["probs"][i * e];
    std::vector<double> scores(probs, probs + e);
    if (v.contains("bias")) std::transform(probs, probs + e, v["bias"].begin(), scores.begin(), std::plus<>());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
    double sum = 0;
    for (int64_t j = 0; j < k; ++j) sum += probs[order[j]];
    for (int64_t j = 0; j < k; ++j) {
      v["ids"][i * k + j] = static_cast<double>(order[j]);
      v["gates"][i * k + j] = probs[order[j]] / (normalize ? sum : 1);
    }
  }
}

OpCase topk(int64_t n, int64_t k, int64_t e, bool normalize) {
  OpCase op("topk", {n, k, e}, normalize ? "normalized" : "");
  op.variable("probs", {n, e}, distinct_probabilities(e), Write::assign, Kind::stat);
  op.any_width("probs");
  op.result("ids", {n, k}, Kind::i32);
  op.output("gates", {n, k}, Kind::stat);
  if (!normalize) op.exact("gates");
  op.forward = [=](Ops& ops, const Tensors& t) { ops.topk_forward(t["ids"], t["gates"], t["probs"], normalize); };
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.topk_backward(t["dprobs"], t["dgates"], t["gates"], t["ids"], t["probs"], normalize);
  };
  op.reference = [=](Values& v) { choose_naively(v, n, k, e, normalize); };
  return op;
}

// Few different values, so that most choices are between equals. No gradient: a step would break the ties.
OpCase topk_ties(int64_t n, int64_t k, int64_t e) {
  OpCase op = topk(n, k, e, false);
  op.name += "_ties";
  op.spec("probs").fill = [](const Rng& rng, int64_t i) { return 0.125 * static_cast<double>(rng.below(i, 3)); };
  op.backward = nullptr;
  std::erase_if(op.tensors, [](const TensorSpec& spec) { return spec.role == Role::gradient; });
  return op;
}

// Chosen by probabilities and a bias that outweighs them.
OpCase topk_biased(int64_t n, int64_t k, int64_t e, bool normalize) {
  OpCase op = topk(n, k, e, normalize);
  op.name += "_biased";
  op.input("bias", {e}, uniform(-1, 1), Kind::stat);
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.topk_forward(t["ids"], t["gates"], t["probs"], normalize, t["bias"]);
  };
  op.reference = [=](Values& v) { choose_naively(v, n, k, e, normalize); };
  return op;
}

// Of a ReLU router's gates: half of them are 0, and all of the first row.
OpCase router_entropy_of_shares(int64_t n, int64_t e) {
  OpCase op("router_entropy", {n, e}, "shares");
  op.input(
      "probs", {n, e},
      [e](const Rng& rng, int64_t i) { return i < e || rng.below(2 * i, 2) ? 0 : 5 * rng.uniform(2 * i + 1); },
      Kind::stat);
  op.result("entropy", {1}, Kind::stat);
  op.any_width("probs");
  op.forward = [](Ops& ops, const Tensors& t) { ops.router_entropy(t["entropy"], t["probs"], true); };
  op.reference = [=](Values& v) {
    v["entropy"][0] = 0;
    for (int64_t row = 0; row < n; ++row) {
      double sum = 0;
      for (int64_t i = row * e; i < (row + 1) * e; ++i) sum += v["probs"][i];
      for (int64_t i = row * e; i < (row + 1) * e; ++i)
        if (const double p = v["probs"][i] / sum; v["probs"][i] > 0)
          v["entropy"][0] -= p * std::log(p) / static_cast<double>(n);
    }
  };
  return op;
}

// No logit is so near 0 that finite steps cross it.
OpCase relu_router(int64_t n, int64_t e, bool in_place) {
  OpCase op("relu_router", {n, e}, in_place ? "dlogits_is_dprobs" : "");
  const Fill away_from_zero = [](const Rng& rng, int64_t i) {
    return (rng.below(2 * i, 2) ? 1 : -1) * (0.05 + rng.uniform(2 * i + 1));
  };
  op.variable("logits", {n, e}, away_from_zero, Write::assign, Kind::stat);
  op.output("probs", {n, e}, Kind::stat);
  op.result("ids", {n, e}, Kind::i32);
  op.exact("probs");
  if (in_place) op.in_place("dlogits", "dprobs");
  op.forward = [](Ops& ops, const Tensors& t) { ops.relu_router_forward(t["probs"], t["ids"], t["logits"]); };
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.relu_router_backward(t["dlogits"], t[in_place ? "dlogits" : "dprobs"], t["probs"]);
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n * e; ++i) {
      v["probs"][i] = std::max(0.0, v["logits"][i]);
      v["ids"][i] = v["logits"][i] > 0 ? static_cast<double>(i % e) : -1;
    }
  };
  return op;
}

// A logit of 0 is no choice. No gradient: it has none there.
OpCase relu_router_zeros(int64_t n, int64_t e) {
  OpCase op = relu_router(n, e, false);
  op.name += "_zeros";
  op.spec("logits").fill = [](const Rng& rng, int64_t i) { return static_cast<double>(rng.below(i, 3)) - 1; };
  op.backward = nullptr;
  std::erase_if(op.tensors, [](const TensorSpec& spec) { return spec.role == Role::gradient; });
  return op;
}

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

OpCase router_entropy(int64_t n, int64_t e, bool with_zeros) {
  OpCase op("router_entropy", {n, e}, with_zeros ? "zeros" : "");
  // With zeros: every row puts everything on one expert but for two halves in the first.
  const Fill sparse = [e](const Rng&, int64_t i) {
    if (i < e) return i < 2 ? 0.5 : 0.0;
    return i % e == i / e % e ? 1.0 : 0.0;
  };
  op.input("probs", {n, e}, with_zeros ? sparse : distinct_probabilities(e), Kind::stat);
  op.result("entropy", {1}, Kind::stat);
  op.any_width("probs");
  op.forward = [](Ops& ops, const Tensors& t) { ops.router_entropy(t["entropy"], t["probs"], false); };
  op.reference = [=](Values& v) {
    v["entropy"][0] = 0;
    for (double p : v["probs"])
      if (p > 0) v["entropy"][0] -= p * std::log(p) / static_cast<double>(n);
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

// The scale times a coefficient that lives with the tensors.
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

// The third micro-batch of a step.
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

OpCase drop_choices(int64_t n, int64_t k, int64_t live, bool in_place) {
  OpCase op("drop_choices", {n, k}, text("live", live, in_place ? "_in_place" : ""));
  op.input(
      "ids", {n, k}, [k](const Rng&, int64_t i) { return static_cast<double>((i + i / k) % k); }, Kind::i32);
  op.input("gates_before", {n, k}, uniform(0.05, 1), Kind::stat);
  op.any_width("ids");
  op.result("kept", {n, k}, Kind::i32);
  op.result("gates", {n, k}, Kind::stat);
  op.in_place("gates", "gates_before");
  if (in_place) op.in_place("kept", "ids");
  op.exact("gates");
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.drop_choices(t["kept"], t["gates"], t[in_place ? "kept" : "ids"], live);
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n * k; ++i) {
      v["kept"][i] = i % k < live ? v["ids"][i] : -1;
      if (i % k >= live) v["gates"][i] = 0;
    }
  };
  return op;
}

OpCase sigmoid_router(int64_t n, int64_t e, bool in_place) {
  OpCase op("sigmoid_router", {n, e}, in_place ? "dlogits_is_dprobs" : "");
  op.variable("logits", {n, e}, normal(0, 3), Write::assign, Kind::stat);
  op.output("probs", {n, e}, Kind::stat);
  if (in_place) op.in_place("dlogits", "dprobs");
  op.forward = [](Ops& ops, const Tensors& t) { ops.sigmoid_router_forward(t["probs"], t["logits"]); };
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.sigmoid_router_backward(t["dlogits"], t[in_place ? "dlogits" : "dprobs"], t["probs"]);
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n * e; ++i) v["probs"][i] = 1 / (1 + std::exp(-v["logits"][i]));
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

// Loads that differ from their mean by one, by nothing and by much.
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

// From the logits: the z-loss has its gradient there, while its forward reads the softmax's log-sum-exp.
OpCase z_loss(int64_t n, int64_t e) {
  const double scale = 0.37;
  OpCase op("z_loss", {n, e});
  op.variable("logits", {n, e}, normal(0, 2), Write::add, Kind::stat);
  op.result("probs", {n, e}, Kind::stat);
  op.result("lse", {n}, Kind::stat);
  op.output("loss", {1}, Kind::stat, constant(scale));
  op.forward = [](Ops& ops, const Tensors& t) {
    ops.router_softmax_forward(t["probs"], t["lse"], t["logits"]);
    ops.z_loss_forward(t["loss"], t["lse"]);
  };
  op.backward = [=](Ops& ops, const Tensors& t) { ops.z_loss_backward(t["dlogits"], t["probs"], t["lse"], scale); };
  op.reference = [=](Values& v) {
    softmax_naively(v, n, e);
    v["loss"][0] = 0;
    for (double lse : v["lse"]) v["loss"][0] += lse * lse / static_cast<double>(n);
  };
  return op;
}

}  // namespace

void add_router_cases(OpCases& cases) {
  auto& tests = cases.tests;
  for (auto [n, c, e] : {std::array<int64_t, 3>{1, 1, 1},
                         {7, 5, 3},
                         {33, 24, 5},
                         {70, 160, 8},
                         {130, 50, 33},
                         {300, 72, 24},
                         {33, 8, 70}})
    for (Write write : {Write::assign, Write::add}) tests.push_back(router_linear(n, c, e, write));
  for (auto [n, e] : {std::array<int64_t, 2>{1, 1}, {1, 8}, {7, 3}, {33, 8}, {130, 33}, {1600, 33}}) {
    tests.push_back(router_softmax(n, e, false));
    tests.push_back(router_softmax(n, e, true));
    tests.push_back(router_entropy(n, e, false));
    tests.push_back(router_entropy_of_shares(n, e));
    tests.push_back(load_balance(n, e));
    tests.push_back(load_balance_by_coefficient(n, e));
    tests.push_back(relu_router(n, e, false));
    tests.push_back(relu_router(n, e, true));
    tests.push_back(relu_router_zeros(n, e));
    for (bool in_place : {false, true}) {
      tests.push_back(sigmoid_router(n, e, in_place));
      tests.push_back(drop_choices(n, e, (e + 1) / 2, in_place));
    }
    tests.push_back(mean_fractions(e * n));
    tests.push_back(z_loss(n, e));
  }
  tests.push_back(router_softmax(33, 8, false, 50, "extreme"));
  tests.back().tolerance = 5e-5;  // an f32 logit of 150 is known to 1e-5
  tests.push_back(router_entropy(7, 5, true));
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

  for (auto [n, k, e] :
       {std::array<int64_t, 3>{1, 1, 1}, {1, 2, 5}, {7, 1, 3}, {33, 2, 8}, {33, 5, 5}, {130, 4, 32}, {1600, 3, 33}}) {
    tests.push_back(topk(n, k, e, false));
    tests.push_back(topk(n, k, e, true));
    tests.push_back(topk_ties(n, k, e));
    tests.push_back(topk_biased(n, k, e, false));
    tests.push_back(topk_biased(n, k, e, true));
  }

  auto& benchmarks = cases.benchmarks;
  benchmarks.push_back(router_linear(4096, 256, 8, Write::assign));
  benchmarks.push_back(router_softmax(4096, 8, true));
  benchmarks.push_back(router_softmax(4096, 32, true));
  benchmarks.push_back(topk(4096, 1, 8, false));
  benchmarks.push_back(topk(4096, 4, 32, false));
  benchmarks.push_back(relu_router(4096, 8, false));
  benchmarks.push_back(router_entropy(4096, 8, false));
  benchmarks.push_back(load_balance(4096, 8));

  auto& gpu = cases.gpu_benchmarks;
  gpu.push_back(router_linear(16384, 1024, 8, Write::add));
  gpu.push_back(router_softmax(16384, 8, true));
  gpu.push_back(topk(16384, 1, 8, false));
  gpu.push_back(load_balance(16384, 8));
}

}  // namespace gptmoe
