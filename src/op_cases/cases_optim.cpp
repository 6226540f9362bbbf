// Zero, copy, casts, norms, AdamW, Muon, moving averages.
#include <algorithm>
#include <cmath>

#include "op_cases/op_case.h"

namespace gptmoe {
namespace {

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::real: return "";
    case Kind::stat: return "stat";
    case Kind::bf16: return "bf16";
    case Kind::i32: return "i32";
    case Kind::i64: return "i64";
    case Kind::u8: return "u8";
  }
  return "";
}

// The nearest number of 8 significant bits, ties to even.
double to_bf16(double x) {
  int exponent = 0;
  std::frexp(x, &exponent);
  const int lowest = std::max(exponent - 8, -133);
  return std::ldexp(std::nearbyint(std::ldexp(x, -lowest)), lowest);
}

Fill some(Kind kind) { return kind == Kind::i32 || kind == Kind::i64 ? below(1000) : normal(); }

OpCase zero(int64_t n, Kind kind) {
  OpCase op("zero", {n}, kind_name(kind));
  op.result("x", {n}, kind);
  op.any_width("x");
  op.any_type("x");
  op.exact("x");
  op.forward = [](Ops& ops, const Tensors& t) { ops.zero(t["x"]); };
  op.reference = [=](Values& v) { v["x"].assign(n, 0); };
  return op;
}

OpCase copy(int64_t n, Kind kind) {
  OpCase op("copy", {n}, kind_name(kind));
  op.input("x", {n}, some(kind), kind);
  op.result("out", {n}, kind);
  op.exact("out");
  op.forward = [](Ops& ops, const Tensors& t) { ops.copy(t["out"], t["x"]); };
  op.reference = [](Values& v) { v["out"] = v["x"]; };
  return op;
}

// Casts random numbers, midpoints between two bf16 (which round to the even one) and the largest number.
OpCase cast(int64_t n, Kind to, Kind from) {
  OpCase op("cast", {n}, std::string("to_") + kind_name(to));
  const std::vector<double> special = {1 + 0x1p-8, 1 + 3 * 0x1p-8, -1 - 0x1p-8, 0x1p-133, -0.0, 0x1.FEp127};
  op.input(
      "x", {n},
      [special, random = normal()](const Rng& rng, int64_t i) {
        const int64_t at = i % 16;
        return at < std::ssize(special) ? special[static_cast<size_t>(at)] : random(rng, i);
      },
      from);
  op.result("out", {n}, to);
  op.exact("out");
  op.forward = [](Ops& ops, const Tensors& t) { ops.cast(t["out"], t["x"]); };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n; ++i) v["out"][i] = to_bf16(v["x"][i]);
  };
  return op;
}

OpCase accumulate_sum(int64_t n) {
  OpCase op("accumulate_sum", {n});
  op.input("x", {n}, normal(1), Kind::stat);
  op.result("sum", {1}, Kind::stat);
  op.accumulates("sum");
  op.any_width("x");
  op.forward = [](Ops& ops, const Tensors& t) { ops.accumulate_sum(t["sum"], t["x"]); };
  op.reference = [](Values& v) {
    for (double x : v["x"]) v["sum"][0] += x;
  };
  return op;
}

OpCase squared_norm(int64_t n) {
  OpCase op("squared_norm", {n});
  op.input("x", {n}, normal());
  op.result("sum", {1}, Kind::stat);
  op.any_width("x");
  op.forward = [](Ops& ops, const Tensors& t) { ops.squared_norm(t["sum"], t["x"]); };
  op.reference = [](Values& v) {
    v["sum"][0] = 0;
    for (double x : v["x"]) v["sum"][0] += x * x;
  };
  return op;
}

OpCase clip_scale(double squared_norm, double max_norm, std::string_view variant) {
  OpCase op("clip_scale", {1}, variant);
  op.input("squared_norm", {1}, constant(squared_norm), Kind::stat);
  op.input("loss", {1}, constant(3), Kind::stat);
  op.input("before", {1}, constant(0), Kind::stat);
  op.result("scale", {1}, Kind::stat);
  op.in_place("scale", "before");
  op.forward = [=](Ops& ops, const Tensors& t) { ops.clip_scale(t["scale"], t["squared_norm"], t["loss"], max_norm); };
  op.reference = [=](Values& v) {
    v["scale"][0] = max_norm == 0 || squared_norm == 0 ? 1 : std::min(1.0, max_norm / std::sqrt(squared_norm));
  };
  return op;
}

enum class Master { absent, present };

// Several steps, each with its own gradient.
OpCase adamw(int64_t n, int64_t steps, double scale, double weight_decay, Master master, std::string_view variant,
             double rate_scale = 1) {
  const AdamwConstants numbers{0.9, 0.95, 1e-8, weight_decay, rate_scale};
  constexpr double kLearningRate = 1e-2;
  OpCase op("adamw", {n, steps}, variant);
  op.input("grads", {steps, n}, normal(), Kind::stat);
  op.input("scale", {1}, constant(scale), Kind::stat);
  std::vector<double> rates;
  for (int64_t step = 1; step <= steps; ++step)
    for (double rate : adamw_rates(kLearningRate, numbers, step)) rates.push_back(rate);
  op.input("rates", {steps, 3}, listed(rates), Kind::stat);
  op.input("before", {n}, normal(), Kind::stat);
  op.input("zeros", {n}, constant(0), Kind::stat);
  const bool has_master = master == Master::present;
  op.result("param", {n}, has_master ? Kind::real : Kind::stat);
  if (has_master) op.result("master", {n}, Kind::stat);
  op.result("m", {n}, Kind::stat);
  op.result("v", {n}, Kind::stat);
  op.in_place(has_master ? "master" : "param", "before");
  op.in_place("m", "zeros");
  op.in_place("v", "zeros");
  op.forward = [=](Ops& ops, const Tensors& t) {
    for (int64_t step = 0; step < steps; ++step)
      ops.adamw(t["param"], has_master ? t["master"] : Tensor{}, t["m"], t["v"], t["grads"].rows(step, 1).view({n}),
                t["scale"], t["rates"].rows(step, 1).view({3}), numbers);
  };
  op.reference = [=](Values& v) {
    std::vector<double>& updated = v[has_master ? "master" : "param"];
    for (int64_t step = 1; step <= steps; ++step) {
      for (int64_t i = 0; i < n; ++i) {
        const double g = v["scale"][0] * v["grads"][(step - 1) * n + i];
        double &param = updated[i], &m1 = v["m"][i], &m2 = v["v"][i];
        m1 = numbers.beta1 * m1 + (1 - numbers.beta1) * g;
        m2 = numbers.beta2 * m2 + (1 - numbers.beta2) * g * g;
        const double* rate = v["rates"].data() + (step - 1) * 3;
        param -= rate_scale * (rate[1] * m1 / (std::sqrt(rate[2] * m2) + numbers.eps) + rate[0] * weight_decay * param);
      }
    }
    v["param"] = updated;
  };
  return op;
}

OpCase moving_average(int64_t n, double keep, std::string_view variant) {
  OpCase op("moving_average", {n}, variant);
  op.input("x", {n}, normal(), Kind::stat);
  op.input("keep", {1}, constant(keep), Kind::stat);
  op.input("before", {n}, normal(), Kind::stat);
  op.result("average", {n}, Kind::stat);
  op.in_place("average", "before");
  op.forward = [](Ops& ops, const Tensors& t) { ops.moving_average(t["average"], t["x"], t["keep"]); };
  op.reference = [=](Values& v) {
    const double kept = v["keep"][0];
    for (int64_t i = 0; i < n; ++i) v["average"][i] = kept * v["average"][i] + (1 - kept) * v["x"][i];
  };
  return op;
}

OpCase muon_momentum(int64_t n, double scale, std::string_view variant = "") {
  constexpr double kMomentum = 0.95;
  OpCase op("muon_momentum", {n}, variant);
  op.input("grad", {n}, normal(), Kind::stat);
  op.input("scale", {1}, constant(scale), Kind::stat);
  op.input("before", {n}, normal(), Kind::stat);
  op.result("u", {n}, Kind::real);
  op.result("m", {n}, Kind::stat);
  op.in_place("m", "before");
  op.forward = [=](Ops& ops, const Tensors& t) { ops.muon_momentum(t["u"], t["m"], t["grad"], t["scale"], kMomentum); };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n; ++i) {
      const double g = v["scale"][0] * v["grad"][i];
      v["m"][i] = kMomentum * v["m"][i] + g;
      v["u"][i] = g + kMomentum * v["m"][i];
    }
  };
  return op;
}

enum class Place { apart, same };

// The last matrix is zero, and so is its result.
OpCase matrix_normalize(int64_t E, int64_t O, int64_t I, Place place) {
  OpCase op("matrix_normalize", {E, O, I}, place == Place::same ? "in_place" : "");
  op.input("u", {E, O, I}, [=, random = normal(0.5, 2)](const Rng& rng, int64_t i) {
    return i / (O * I) + 1 == E && E > 1 ? 0.0 : random(rng, i);
  });
  op.result("x", {E, O, I}, Kind::real);
  if (place == Place::same) {
    op.in_place("x", "u");
    op.any_width("x");  // it is both operands
  }
  op.forward = [=](Ops& ops, const Tensors& t) { ops.matrix_normalize(t["x"], t[place == Place::same ? "x" : "u"]); };
  op.reference = [=](Values& v) {
    for (int64_t e = 0; e < E; ++e) {
      double squares = 0;
      for (int64_t i = e * O * I; i < (e + 1) * O * I; ++i) squares += v["u"][i] * v["u"][i];
      for (int64_t i = e * O * I; i < (e + 1) * O * I; ++i) v["x"][i] = v["u"][i] / (std::sqrt(squares) + 1e-7);
    }
  };
  return op;
}

// `in_place`: the operand that y shares memory with, if any.
OpCase weighted_sum(int64_t n, std::string_view in_place = "") {
  OpCase op("weighted_sum", {n}, in_place.empty() ? "" : "onto_" + std::string(in_place));
  op.input("a", {n}, normal());
  op.input("b", {n}, normal());
  op.result("y", {n}, Kind::real);
  if (!in_place.empty()) op.in_place("y", in_place);
  const std::string a = in_place == "a" ? "y" : "a", b = in_place == "b" ? "y" : "b";
  op.forward = [=](Ops& ops, const Tensors& t) { ops.weighted_sum(t["y"], t[a], t[b], -4.775, 2.0315); };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n; ++i) v["y"][i] = -4.775 * v["a"][i] + 2.0315 * v["b"][i];
  };
  return op;
}

OpCase muon_update(int64_t n, double weight_decay, Master master, std::string_view variant) {
  constexpr double kStep = 1.6;
  OpCase op("muon_update", {n}, variant);
  op.input("update", {n}, normal());
  op.input("scale", {1}, constant(1), Kind::stat);
  op.input("rates", {3}, listed<double>({0.02, 7, 9}), Kind::stat);
  op.input("before", {n}, normal(), Kind::stat);
  const bool has_master = master == Master::present;
  op.result("param", {n}, has_master ? Kind::real : Kind::stat);
  if (has_master) op.result("master", {n}, Kind::stat);
  op.in_place(has_master ? "master" : "param", "before");
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.muon_update(t["param"], has_master ? t["master"] : Tensor{}, t["update"], t["scale"], t["rates"], kStep,
                    weight_decay);
  };
  op.reference = [=](Values& v) {
    std::vector<double>& updated = v[has_master ? "master" : "param"];
    for (int64_t i = 0; i < n; ++i) updated[i] -= v["rates"][0] * (kStep * v["update"][i] + weight_decay * updated[i]);
    v["param"] = updated;
  };
  return op;
}

}  // namespace

void add_optim_cases(OpCases& cases) {
  auto& tests = cases.tests;
  for (Kind kind : {Kind::real, Kind::stat, Kind::i32, Kind::i64}) {
    for (int64_t n : {1, 7, 70001}) {
      tests.push_back(zero(n, kind));
      tests.push_back(copy(n, kind));
    }
  }
  for (int64_t n : {1, 7, 1024, 70001}) {
    tests.push_back(cast(n, Kind::bf16, Kind::stat));
    tests.push_back(cast(n, Kind::stat, Kind::bf16));
  }
  for (int64_t n : {1, 7, 1000, 70001}) {
    tests.push_back(accumulate_sum(n));
    tests.push_back(squared_norm(n));
  }

  tests.push_back(clip_scale(25, 1, "above"));
  tests.push_back(clip_scale(0.25, 1, "below"));
  tests.push_back(clip_scale(25, 0, "off"));
  tests.push_back(clip_scale(0, 1, "zero_gradient"));
  tests.push_back(clip_scale(0, 0, "zero_gradient_off"));

  for (Master master : {Master::absent, Master::present}) {
    const std::string suffix = master == Master::present ? "_master" : "";
    tests.push_back(adamw(1, 5, 1, 0, master, "plain" + suffix));
    tests.push_back(adamw(33, 5, 1, 0.1, master, "decay" + suffix));
    tests.push_back(adamw(70001, 3, 0.3, 0.1, master, "decay_clipped" + suffix));
    tests.push_back(adamw(33, 5, 1, 0.1, master, "rate_scale" + suffix, 0.4));
    tests.push_back(adamw(7, 1, 0, 0.1, master, "zero_gradient" + suffix));  // only the decay moves the parameters
  }

  tests.push_back(moving_average(1, 0.5, "half"));
  tests.push_back(moving_average(33, 0, "new"));
  tests.push_back(moving_average(70001, 0.999, "old"));
  for (int64_t n : {1, 7, 1000, 70001}) {
    tests.push_back(muon_momentum(n, 0.3));
    tests.push_back(weighted_sum(n));
    for (Master master : {Master::absent, Master::present})
      tests.push_back(muon_update(n, 0.1, master, master == Master::present ? "master" : ""));
  }
  tests.push_back(muon_momentum(7, 0, "zero_gradient"));
  tests.push_back(weighted_sum(1000, "a"));
  tests.push_back(weighted_sum(1000, "b"));
  for (Place place : {Place::apart, Place::same}) {
    tests.push_back(matrix_normalize(1, 1, 1, place));
    tests.push_back(matrix_normalize(3, 5, 7, place));
    tests.push_back(matrix_normalize(5, 64, 72, place));
    tests.push_back(matrix_normalize(2, 211, 307, place));
  }

  auto& benchmarks = cases.benchmarks;
  benchmarks.push_back(zero(4 << 20, Kind::stat));
  benchmarks.push_back(copy(4 << 20, Kind::stat));
  benchmarks.push_back(cast(4 << 20, Kind::bf16, Kind::stat));
  benchmarks.push_back(cast(4 << 20, Kind::stat, Kind::bf16));
  benchmarks.push_back(squared_norm(4 << 20));
  benchmarks.push_back(adamw(4 << 20, 1, 1, 0.1, Master::absent, "decay"));
  benchmarks.push_back(muon_momentum(4 << 20, 1));
  benchmarks.push_back(matrix_normalize(16, 512, 512, Place::same));
  benchmarks.push_back(weighted_sum(4 << 20, "a"));
  benchmarks.push_back(muon_update(4 << 20, 0.1, Master::absent, "decay"));

  benchmarks.push_back(moving_average(4 << 20, 0.999, ""));

  auto& gpu = cases.gpu_benchmarks;  // parameters of a few layers: more would only take longer
  gpu.push_back(zero(64 << 20, Kind::stat));
  gpu.push_back(cast(64 << 20, Kind::bf16, Kind::stat));
  gpu.push_back(cast(64 << 20, Kind::stat, Kind::bf16));
  gpu.push_back(squared_norm(64 << 20));
  gpu.push_back(adamw(64 << 20, 1, 1, 0.1, Master::present, "decay"));
  gpu.push_back(moving_average(64 << 20, 0.999, ""));
  gpu.push_back(muon_momentum(64 << 20, 1));
  gpu.push_back(matrix_normalize(16, 2816, 1024, Place::same));
  gpu.push_back(weighted_sum(64 << 20, "a"));
  gpu.push_back(muon_update(64 << 20, 0.1, Master::present, "decay"));
}

}  // namespace gptmoe
