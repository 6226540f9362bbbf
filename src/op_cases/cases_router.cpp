// Router logits, softmax, top-k, other gates, entropy, z-loss.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "op_cases/op_case.h"
#include "op_cases/routing_plan.h"

namespace gptmoe {
namespace {

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

void choose_naively(Values& v, int64_t n, int64_t k, int64_t e, bool normalize, double scale) {
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
      v["gates"][i * k + j] = scale * probs[order[j]] / (normalize ? sum : 1);
    }
  }
}

OpCase topk(int64_t n, int64_t k, int64_t e, bool normalize, double scale = 1) {
  OpCase op("topk", {n, k, e}, text(normalize ? "normalized" : "", scale == 1 ? "" : "_scaled"));
  op.variable("probs", {n, e}, distinct_probabilities(e), Write::assign, Kind::stat);
  op.any_width("probs");
  op.result("ids", {n, k}, Kind::i32);
  op.output("gates", {n, k}, Kind::stat);
  if (!normalize && scale == 1) op.exact("gates");
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.topk_forward(t["ids"], t["gates"], t["probs"], normalize, scale);
  };
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.topk_backward(t["dprobs"], t["dgates"], t["gates"], t["ids"], t["probs"], normalize, scale);
  };
  op.reference = [=](Values& v) { choose_naively(v, n, k, e, normalize, scale); };
  return op;
}

// Few different values, so that most choices are ties. No gradient: a finite step would break the ties.
OpCase topk_ties(int64_t n, int64_t k, int64_t e) {
  OpCase op = topk(n, k, e, false);
  op.name += "_ties";
  op.spec("probs").fill = [](const Rng& rng, int64_t i) { return 0.125 * static_cast<double>(rng.below(i, 3)); };
  op.backward = nullptr;
  std::erase_if(op.tensors, [](const TensorSpec& spec) { return spec.role == Role::gradient; });
  return op;
}

// Top-k by probability plus a bias that outweighs the probabilities.
OpCase topk_biased(int64_t n, int64_t k, int64_t e, bool normalize) {
  OpCase op = topk(n, k, e, normalize);
  op.name += "_biased";
  op.input("bias", {e}, uniform(-1, 1), Kind::stat);
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.topk_forward(t["ids"], t["gates"], t["probs"], normalize, 1, t["bias"]);
  };
  op.reference = [=](Values& v) { choose_naively(v, n, k, e, normalize, 1); };
  return op;
}

// Gates of a ReLU router: half of them are 0, and so is the whole first row.
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

// Every logit is far enough from 0 that finite steps do not cross it.
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

// A logit of 0 is not a choice. No gradient is checked: none exists there.
OpCase relu_router_zeros(int64_t n, int64_t e) {
  OpCase op = relu_router(n, e, false);
  op.name += "_zeros";
  op.spec("logits").fill = [](const Rng& rng, int64_t i) { return static_cast<double>(rng.below(i, 3)) - 1; };
  op.backward = nullptr;
  std::erase_if(op.tensors, [](const TensorSpec& spec) { return spec.role == Role::gradient; });
  return op;
}

OpCase router_entropy(int64_t n, int64_t e, bool with_zeros) {
  OpCase op("router_entropy", {n, e}, with_zeros ? "zeros" : "");
  // With zeros: every row puts all its weight on one expert, except the first row, which has two halves.
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

// The z-loss has its gradient at the logits, while its forward reads the softmax's log-sum-exp.
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
    tests.push_back(relu_router(n, e, false));
    tests.push_back(relu_router(n, e, true));
    tests.push_back(relu_router_zeros(n, e));
    for (bool in_place : {false, true}) {
      tests.push_back(sigmoid_router(n, e, in_place));
      tests.push_back(drop_choices(n, e, (e + 1) / 2, in_place));
    }
    tests.push_back(z_loss(n, e));
  }
  tests.push_back(router_softmax(33, 8, false, 50, "extreme"));
  tests.back().tolerance = 5e-5;  // an f32 logit of 150 is accurate to 1e-5
  tests.push_back(router_entropy(7, 5, true));
  for (auto [n, k, e] :
       {std::array<int64_t, 3>{1, 1, 1}, {1, 2, 5}, {7, 1, 3}, {33, 2, 8}, {33, 5, 5}, {130, 4, 32}, {1600, 3, 33}}) {
    tests.push_back(topk(n, k, e, false));
    tests.push_back(topk(n, k, e, true));
    tests.push_back(topk(n, k, e, false, 2.5));
    tests.push_back(topk(n, k, e, true, 2.5));
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

  auto& gpu = cases.gpu_benchmarks;
  gpu.push_back(router_linear(16384, 1024, 8, Write::add));
  gpu.push_back(router_softmax(16384, 8, true));
  gpu.push_back(topk(16384, 1, 8, false));
}

}  // namespace gptmoe
