// RMSNorm, LayerNorm, QK-norm.
#include <cmath>

#include "op_cases/op_case.h"

namespace gptmoe {
namespace {

constexpr double kEps = 1e-5;

OpCase rmsnorm(int64_t n, int64_t c) {
  OpCase op("rmsnorm", {n, c});
  op.variable("x", {n, c}, normal(1, 2), Write::add);
  op.parameter("weight", {c}, normal(1, 0.3));
  op.output("y", {n, c});
  op.result("rstd", {n}, Kind::stat);
  op.forward = [](Ops& ops, const Tensors& t) { ops.rmsnorm_forward(t["y"], t["rstd"], t["x"], t["weight"], kEps); };
  op.backward = [](Ops& ops, const Tensors& t) {
    ops.rmsnorm_backward(t["dx"], t["dweight"], t["dy"], t["x"], t["weight"], t["rstd"]);
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n; ++i) {
      double squares = 0;
      for (int64_t j = 0; j < c; ++j) squares += std::pow(v["x"][i * c + j], 2);
      v["rstd"][i] = 1 / std::sqrt(squares / static_cast<double>(c) + kEps);
      for (int64_t j = 0; j < c; ++j) v["y"][i * c + j] = v["x"][i * c + j] * v["rstd"][i] * v["weight"][j];
    }
  };
  return op;
}

OpCase layernorm(int64_t n, int64_t c) {
  OpCase op("layernorm", {n, c});
  op.variable("x", {n, c}, normal(1, 2), Write::add);
  op.parameter("weight", {c}, normal(1, 0.3));
  op.parameter("bias", {c}, normal());
  op.output("y", {n, c});
  op.result("mean", {n}, Kind::stat);
  op.result("rstd", {n}, Kind::stat);
  op.forward = [](Ops& ops, const Tensors& t) {
    ops.layernorm_forward(t["y"], t["mean"], t["rstd"], t["x"], t["weight"], t["bias"], kEps);
  };
  op.backward = [](Ops& ops, const Tensors& t) {
    ops.layernorm_backward(t["dx"], t["dweight"], t["dbias"], t["dy"], t["x"], t["weight"], t["mean"], t["rstd"]);
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < n; ++i) {
      double mean = 0, variance = 0;
      for (int64_t j = 0; j < c; ++j) mean += v["x"][i * c + j] / static_cast<double>(c);
      for (int64_t j = 0; j < c; ++j) variance += std::pow(v["x"][i * c + j] - mean, 2) / static_cast<double>(c);
      v["mean"][i] = mean;
      v["rstd"][i] = 1 / std::sqrt(variance + kEps);
      for (int64_t j = 0; j < c; ++j)
        v["y"][i * c + j] = (v["x"][i * c + j] - mean) * v["rstd"][i] * v["weight"][j] + v["bias"][j];
    }
  };
  return op;
}

// in_place: dqkv overwrites dy.
OpCase qk_norm(int64_t b, int64_t t, int64_t h, int64_t g, int64_t d, bool in_place) {
  const int64_t s = h + 2 * g;
  OpCase op("qk_norm", {b, t, h, g, d}, in_place ? "dqkv_is_dy" : "");
  op.variable("qkv", {b, t, s, d}, normal(1, 2), Write::assign);
  op.parameter("q_weight", {h * d}, normal(1, 0.3));
  op.parameter("k_weight", {g * d}, normal(1, 0.3));
  op.output("y", {b, t, s, d});
  op.result("rstd", {b * t, 2}, Kind::stat);
  if (in_place) op.in_place("dqkv", "dy");
  op.forward = [](Ops& ops, const Tensors& t) {
    ops.qk_norm_forward(t["y"], t["rstd"], t["qkv"], t["q_weight"], t["k_weight"], kEps);
  };
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.qk_norm_backward(t["dqkv"], t["dq_weight"], t["dk_weight"], t[in_place ? "dqkv" : "dy"], t["qkv"],
                         t["q_weight"], t["k_weight"], t["rstd"]);
  };
  op.reference = [=](Values& v) {
    v["y"] = v["qkv"];
    for (int64_t i = 0; i < b * t * 2; ++i) {
      const bool is_key = i % 2 == 1;
      const int64_t width = is_key ? g * d : h * d;
      double* row = &v["y"][i / 2 * s * d + (is_key ? h * d : 0)];
      double squares = 0;
      for (int64_t j = 0; j < width; ++j) squares += row[j] * row[j];
      const double rstd = v["rstd"][i] = 1 / std::sqrt(squares / static_cast<double>(width) + kEps);
      for (int64_t j = 0; j < width; ++j) row[j] *= rstd * v[is_key ? "k_weight" : "q_weight"][j];
    }
  };
  return op;
}

OpCase head_norm(int64_t b, int64_t t, int64_t h, int64_t g, int64_t d, bool in_place) {
  const int64_t s = h + 2 * g, w = h + g;
  OpCase op("head_norm", {b, t, h, g, d}, in_place ? "dqkv_is_dy" : "");
  op.variable("qkv", {b, t, s, d}, normal(1, 2), Write::assign);
  op.parameter("q_weight", {d}, normal(1, 0.3));
  op.parameter("k_weight", {d}, normal(1, 0.3));
  op.output("y", {b, t, s, d});
  op.result("rstd", {b * t, w}, Kind::stat);
  if (in_place) op.in_place("dqkv", "dy");
  op.forward = [](Ops& ops, const Tensors& t) {
    ops.head_norm_forward(t["y"], t["rstd"], t["qkv"], t["q_weight"], t["k_weight"], kEps);
  };
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.head_norm_backward(t["dqkv"], t["dq_weight"], t["dk_weight"], t[in_place ? "dqkv" : "dy"], t["qkv"],
                           t["q_weight"], t["k_weight"], t["rstd"]);
  };
  op.reference = [=](Values& v) {
    v["y"] = v["qkv"];
    for (int64_t i = 0; i < b * t * w; ++i) {
      double* head = &v["y"][(i / w * s + i % w) * d];
      double squares = 0;
      for (int64_t j = 0; j < d; ++j) squares += head[j] * head[j];
      const double rstd = v["rstd"][i] = 1 / std::sqrt(squares / static_cast<double>(d) + kEps);
      for (int64_t j = 0; j < d; ++j) head[j] *= rstd * v[i % w < h ? "q_weight" : "k_weight"][j];
    }
  };
  return op;
}

}  // namespace

void add_norm_cases(OpCases& cases) {
  for (auto [n, c] :
       {std::array<int64_t, 2>{1, 1}, {1, 24}, {7, 5}, {33, 64}, {130, 33}, {33, 1}, {1030, 50}, {5, 521}, {9, 1032}}) {
    cases.tests.push_back(rmsnorm(n, c));
    cases.tests.push_back(layernorm(n, c));
    if (c == 1) cases.tests.back().tolerance = 1e-4;  // no variance: 1 / sqrt(eps) magnifies what should cancel
  }
  for (bool in_place : {false, true}) {
    cases.tests.push_back(qk_norm(1, 1, 1, 1, 2, in_place));
    cases.tests.push_back(qk_norm(2, 7, 4, 2, 6, in_place));
    cases.tests.push_back(qk_norm(1, 33, 3, 1, 32, in_place));
    cases.tests.push_back(qk_norm(3, 5, 3, 3, 2, in_place));
    cases.tests.push_back(qk_norm(3, 150, 4, 2, 20, in_place));
    cases.tests.push_back(head_norm(1, 1, 1, 1, 2, in_place));
    cases.tests.push_back(head_norm(2, 7, 4, 2, 6, in_place));
    cases.tests.push_back(head_norm(1, 33, 3, 1, 32, in_place));
    cases.tests.push_back(head_norm(3, 150, 4, 2, 20, in_place));
  }
  cases.benchmarks.push_back(rmsnorm(4096, 256));
  cases.benchmarks.push_back(layernorm(4096, 256));
  cases.benchmarks.push_back(qk_norm(16, 256, 4, 4, 64, true));
  cases.benchmarks.push_back(head_norm(16, 256, 4, 4, 64, true));
  cases.gpu_benchmarks.push_back(rmsnorm(16384, 1024));
  cases.gpu_benchmarks.push_back(layernorm(16384, 1024));
}

}  // namespace gptmoe
