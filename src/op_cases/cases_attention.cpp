// RoPE, causal attention.
#include <cmath>

#include "op_cases/op_case.h"

namespace gptmoe {
namespace {

double angle(int64_t t, int64_t i, int64_t d, double theta) {
  return static_cast<double>(t) * std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(d));
}

OpCase rope_tables(int64_t t, int64_t d, double theta) {
  OpCase op("rope_tables", {t, d});
  op.result("cos", {t, d / 2}, Kind::stat);
  op.result("sin", {t, d / 2}, Kind::stat);
  op.forward = [=](Ops& ops, const Tensors& t) { ops.rope_tables(t["cos"], t["sin"], theta); };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < t * d / 2; ++i) {
      v["cos"][i] = std::cos(angle(i / (d / 2), i % (d / 2), d, theta));
      v["sin"][i] = std::sin(angle(i / (d / 2), i % (d / 2), d, theta));
    }
  };
  op.tolerance = 2e-7;  // angles of thousands of radians: only double arithmetic keeps the tables exact to rounding
  return op;
}

OpCase rope(int64_t b, int64_t t, int64_t h, int64_t g, int64_t d, int64_t table_t) {
  const int64_t s = h + 2 * g, pairs = d / 2;
  const auto table = [=](double (*function)(double)) {
    return [=](const Rng&, int64_t i) { return function(angle(i / pairs, i % pairs, d, 10000)); };
  };
  OpCase op("rope", {b, t, h, g, d});
  op.input("cos", {table_t, pairs}, table(std::cos), Kind::stat);
  op.input("sin", {table_t, pairs}, table(std::sin), Kind::stat);
  op.variable("qkv", {b, t, s, d}, normal(), Write::assign);
  op.output("y", {b, t, s, d});
  op.in_place("y", "qkv");
  op.in_place("dqkv", "dy");
  op.forward = [=](Ops& ops, const Tensors& t) { ops.rope_forward(t["y"], t["cos"], t["sin"], h + g); };
  op.backward = [=](Ops& ops, const Tensors& t) { ops.rope_backward(t["dqkv"], t["cos"], t["sin"], h + g); };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < b * t * s; ++i) {
      if (i % s >= h + g) continue;
      for (int64_t p = 0; p < pairs; ++p) {
        const int64_t at = i / s % t * pairs + p;
        const double x = v["qkv"][i * d + p], y = v["qkv"][i * d + p + pairs];
        v["y"][i * d + p] = x * v["cos"][at] - y * v["sin"][at];
        v["y"][i * d + p + pairs] = x * v["sin"][at] + y * v["cos"][at];
      }
    }
  };
  return op;
}

// The whole T*T softmax of one query: out and lse of (b, t, h).
void attend_naively(Values& v, int64_t row, int64_t t, int64_t h, int64_t g, int64_t d) {
  const int64_t head = row % h, query = row / h % t, sequence = row / h / t, s = h + 2 * g;
  const auto qkv = [&](int64_t at, int64_t packed_head) {
    return &v["qkv"][((sequence * t + at) * s + packed_head) * d];
  };
  const double* q = qkv(query, head);
  std::vector<double> weights(query + 1);
  double largest = -INFINITY, sum = 0;
  for (int64_t at = 0; at <= query; ++at) {
    const double* k = qkv(at, h + head / (h / g));
    double score = 0;
    for (int64_t i = 0; i < d; ++i) score += q[i] * k[i] / std::sqrt(static_cast<double>(d));
    weights[at] = score;
    largest = std::max(largest, score);
  }
  for (double& weight : weights) sum += weight = std::exp(weight - largest);
  double* out = &v["out"][row * d];
  for (int64_t i = 0; i < d; ++i) {
    out[i] = 0;
    for (int64_t at = 0; at <= query; ++at) out[i] += weights[at] / sum * qkv(at, h + g + head / (h / g))[i];
  }
  v["lse"][(sequence * h + head) * t + query] = largest + std::log(sum);
}

OpCase attention(int64_t b, int64_t t, int64_t h, int64_t g, int64_t d, double spread = 1,
                 std::string_view variant = "") {
  OpCase op("attention", {b, t, h, g, d}, variant);
  op.variable("qkv", {b, t, h + 2 * g, d}, normal(0, spread), Write::assign);
  op.output("out", {b, t, h, d});
  op.result("lse", {b, h, t}, Kind::stat);
  op.forward = [](Ops& ops, const Tensors& t) { ops.attention_forward(t["out"], t["lse"], t["qkv"]); };
  op.backward = [](Ops& ops, const Tensors& t) {
    ops.attention_backward(t["dqkv"], t["dout"], t["out"], t["lse"], t["qkv"]);
  };
  // Gradients of scores are rounded to bf16, and the first queries' are larger than most.
  op.bf16_tolerance = 2e-2;
  op.reference = [=](Values& v) {
    for (int64_t row = 0; row < b * t * h; ++row) attend_naively(v, row, t, h, g, d);
  };
  return op;
}

}  // namespace

void add_attention_cases(OpCases& cases) {
  auto& tests = cases.tests;
  tests.push_back(rope_tables(1, 2, 10000));
  tests.push_back(rope_tables(130, 6, 10000));
  tests.push_back(rope_tables(4096, 32, 500000));
  tests.push_back(rope(1, 1, 1, 1, 2, 1));
  tests.push_back(rope(2, 13, 4, 2, 6, 13));
  tests.push_back(rope(2, 70, 3, 1, 32, 130));
  tests.push_back(rope(3, 150, 4, 2, 20, 150));

  for (auto [b, t, h, g, d] : {std::array<int64_t, 5>{1, 1, 1, 1, 2},
                               {3, 1, 4, 2, 6},
                               {2, 13, 4, 2, 6},
                               {1, 64, 2, 2, 32},
                               {2, 70, 3, 1, 32},
                               {2, 70, 4, 4, 2},
                               {1, 130, 4, 2, 6},
                               {1, 130, 3, 3, 32},
                               {1, 33, 2, 1, 80},
                               {1, 270, 2, 1, 2},
                               // Whole and partial tiles of a GPU's tensor cores, with one, two and four query heads
                               // per key/value head.
                               {2, 1, 2, 1, 64},
                               {2, 17, 4, 1, 64},
                               {1, 64, 2, 1, 64},
                               {1, 130, 2, 2, 64},
                               {1, 200, 2, 1, 64},
                               {1, 17, 2, 1, 128},
                               {1, 130, 2, 1, 128},
                               {1, 50, 2, 1, 72},
                               {1, 40, 2, 1, 256},
                               {9, 3, 2, 1, 8}})
    tests.push_back(attention(b, t, h, g, d));
  // Scores of tens give nearly one-hot rows, where a stale running maximum would overflow or lose everything.
  for (auto [spread, d] : {std::pair<double, int64_t>{6, 6}, {3, 64}}) {
    tests.push_back(attention(1, 130, 2, 1, d, spread, "peaked"));
    tests.back().tolerance = 1e-4;  // an f32 score of 100 is accurate to 1e-5
  }

  cases.benchmarks.push_back(rope(16, 256, 4, 4, 64, 256));
  cases.benchmarks.push_back(attention(16, 128, 4, 4, 32));
  cases.benchmarks.push_back(attention(16, 256, 4, 4, 64));
  cases.benchmarks.push_back(attention(1, 2048, 4, 4, 64));
  cases.gpu_benchmarks.push_back(rope(8, 2048, 16, 16, 64, 2048));
  cases.gpu_benchmarks.push_back(attention(8, 2048, 16, 16, 64));
}

}  // namespace gptmoe
