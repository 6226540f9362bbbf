// Embedding, linear, bias, residual, activations.
#include <cmath>
#include <numbers>

#include "op_cases/op_case.h"

namespace gptmoe {
namespace {

// Tokens drawn at random, or mostly the same token.
enum class Text { even, skewed };

OpCase embedding(int64_t n, int64_t c, int64_t v, Text text = Text::even) {
  const Fill skewed = [v](const Rng& rng, int64_t i) {
    return static_cast<double>(rng.below(2 * i, 8) > 0 ? v / 2 : rng.below(2 * i + 1, v));
  };
  OpCase op("embedding", {n, c, v}, text == Text::skewed ? "skewed" : "");
  op.parameter("table", {v, c}, normal());
  op.input("tokens", {n}, text == Text::skewed ? skewed : below(v), Kind::i32);
  op.output("out", {n, c});
  op.exact("out");
  op.forward = [](Ops& ops, const Tensors& t) { ops.embedding_forward(t["out"], t["table"], t["tokens"]); };
  op.backward = [](Ops& ops, const Tensors& t) { ops.embedding_backward(t["dtable"], t["dout"], t["tokens"]); };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n * c; ++i) v["out"][i] = v["table"][static_cast<int64_t>(v["tokens"][i / c]) * c + i % c];
  };
  return op;
}

OpCase linear(int64_t n, int64_t in, int64_t out, Write write, Write dx_write) {
  OpCase op("linear", {n, in, out}, text(write == Write::add ? "add" : "", dx_write == Write::add ? "dadd" : ""));
  op.variable("x", {n, in}, normal(), dx_write);
  op.parameter("w", {out, in}, normal());
  op.output("y", {n, out});
  if (write == Write::add) op.accumulates("y");
  op.forward = [=](Ops& ops, const Tensors& t) { ops.linear_forward(t["y"], t["x"], t["w"], write); };
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.linear_backward_input(t["dx"], t["dy"], t["w"], dx_write);
    ops.linear_backward_weight(t["dw"], t["dy"], t["x"]);
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n * out; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < in; ++j) sum += v["x"][i / out * in + j] * v["w"][i % out * in + j];
      v["y"][i] = write == Write::add ? v["y"][i] + sum : sum;
    }
  };
  return op;
}

OpCase linear_bias(int64_t n, int64_t in, int64_t out) {
  OpCase op("linear_bias", {n, in, out});
  op.variable("x", {n, in}, normal(), Write::assign);
  op.parameter("w", {out, in}, normal());
  op.parameter("bias", {out}, normal());
  op.output("y", {n, out});
  op.forward = [](Ops& ops, const Tensors& t) { ops.linear_bias_forward(t["y"], t["x"], t["w"], t["bias"]); };
  op.backward = [](Ops& ops, const Tensors& t) {
    ops.linear_backward_input(t["dx"], t["dy"], t["w"]);
    ops.linear_backward_weight(t["dw"], t["dy"], t["x"]);
    ops.bias_backward(t["dbias"], t["dy"]);
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n * out; ++i) {
      double sum = v["bias"][i % out];
      for (int64_t j = 0; j < in; ++j) sum += v["x"][i / out * in + j] * v["w"][i % out * in + j];
      v["y"][i] = sum;
    }
  };
  return op;
}

enum class Alias { none, first, second };

OpCase residual(int64_t n, int64_t c, Alias alias) {
  OpCase op("residual", {n, c}, alias == Alias::none ? "" : alias == Alias::first ? "y_is_a" : "y_is_b");
  op.input("a", {n, c}, normal());
  op.input("b", {n, c}, normal());
  op.result("y", {n, c}, Kind::real);
  if (alias != Alias::none) op.in_place("y", alias == Alias::first ? "a" : "b");
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.residual_forward(t["y"], t[alias == Alias::first ? "y" : "a"], t[alias == Alias::second ? "y" : "b"]);
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n * c; ++i) v["y"][i] = v["a"][i] + v["b"][i];
  };
  return op;
}

// in_place: dh overwrites h.
OpCase swiglu(int64_t r, int64_t f, bool in_place, Fill fill = normal(0, 2), std::string_view variant = "") {
  OpCase op("swiglu", {r, f}, in_place ? "dh_is_h" : variant);
  op.variable("h", {r, 2 * f}, fill, Write::assign);
  op.output("a", {r, f});
  if (in_place) op.in_place("dh", "h");
  op.forward = [](Ops& ops, const Tensors& t) { ops.swiglu_forward(t["a"], t["h"]); };
  op.backward = [=](Ops& ops, const Tensors& t) { ops.swiglu_backward(t["dh"], t["da"], t[in_place ? "dh" : "h"]); };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < r * f; ++i) {
      const double gate = v["h"][i / f * 2 * f + i % f], up = v["h"][i / f * 2 * f + f + i % f];
      v["a"][i] = gate / (1 + std::exp(-gate)) * up;
    }
  };
  return op;
}

OpCase gelu(int64_t r, int64_t f, bool in_place, Fill fill = normal(0, 2), std::string_view variant = "") {
  OpCase op("gelu", {r, f}, in_place ? "dh_is_h" : variant);
  op.variable("h", {r, f}, fill, Write::assign);
  op.output("a", {r, f});
  if (in_place) op.in_place("dh", "h");
  op.forward = [](Ops& ops, const Tensors& t) { ops.gelu_forward(t["a"], t["h"]); };
  op.backward = [=](Ops& ops, const Tensors& t) { ops.gelu_backward(t["dh"], t["da"], t[in_place ? "dh" : "h"]); };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < r * f; ++i) {
      const double x = v["h"][i];
      v["a"][i] = 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    }
  };
  return op;
}

}  // namespace

void add_dense_cases(OpCases& cases) {
  auto& tests = cases.tests;
  for (auto [n, c, v] : {std::array<int64_t, 3>{1, 1, 3}, {7, 5, 3}, {33, 24, 61}, {130, 64, 300}, {1030, 50, 61}})
    tests.push_back(embedding(n, c, v));
  tests.push_back(embedding(300, 8, 1500));  // tokens of two digits in the GPU's radix sort
  tests.push_back(embedding(1030, 8, 700, Text::skewed));
  tests.push_back(embedding(130, 264, 1, Text::skewed));

  for (auto [n, in, out] : {std::array<int64_t, 3>{1, 1, 1}, {7, 5, 3}, {33, 24, 64}, {130, 64, 33}, {1, 64, 300}})
    tests.push_back(linear(n, in, out, Write::assign, Write::assign));
  tests.push_back(linear(33, 5, 7, Write::add, Write::add));
  tests.push_back(linear(70, 24, 33, Write::add, Write::assign));
  tests.push_back(linear(70, 64, 24, Write::assign, Write::add));

  for (auto [n, in, out] :
       {std::array<int64_t, 3>{1, 1, 1}, {7, 2, 5}, {33, 8, 64}, {1030, 3, 50}, {130, 24, 33}, {5, 2, 2056}})
    tests.push_back(linear_bias(n, in, out));

  for (Alias alias : {Alias::none, Alias::first, Alias::second})
    for (auto [n, c] : {std::array<int64_t, 2>{1, 1}, {7, 5}, {33, 64}, {1030, 50}})
      tests.push_back(residual(n, c, alias));

  // "far": the exponentials' tails; gates up to +-120 must neither overflow nor lose their sign.
  for (bool in_place : {false, true}) {
    for (auto [r, f] : {std::array<int64_t, 2>{1, 1}, {7, 5}, {33, 24}, {130, 64}, {1030, 50}}) {
      tests.push_back(swiglu(r, f, in_place));
      tests.push_back(gelu(r, f, in_place));
    }
  }
  tests.push_back(swiglu(33, 24, false, uniform(-120, 120), "far"));
  tests.push_back(gelu(33, 24, false, uniform(-120, 120), "far"));

  auto& benchmarks = cases.benchmarks;
  benchmarks.push_back(embedding(4096, 256, 2048));
  benchmarks.push_back(linear(4096, 256, 768, Write::assign, Write::assign));
  benchmarks.push_back(linear(4096, 256, 256, Write::add, Write::add));
  benchmarks.push_back(linear_bias(4096, 256, 768));
  benchmarks.push_back(residual(4096, 256, Alias::first));
  benchmarks.push_back(swiglu(4096, 704, true));
  benchmarks.push_back(gelu(4096, 1024, true));

  auto& gpu = cases.gpu_benchmarks;
  gpu.push_back(embedding(16384, 1024, 128256));
  gpu.push_back(linear(16384, 1024, 1024, Write::assign, Write::assign));
  gpu.push_back(linear(16384, 1024, 5632, Write::assign, Write::assign));
  gpu.push_back(linear(16384, 2816, 1024, Write::assign, Write::assign));
  gpu.push_back(linear_bias(16384, 1024, 3072));
  gpu.push_back(residual(16384, 1024, Alias::first));
  gpu.push_back(swiglu(16384, 2816, false));
}

}  // namespace gptmoe
