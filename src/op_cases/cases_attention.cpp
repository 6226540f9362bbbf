// Documents in a sequence, RoPE, causal attention, attention to a cache.
#include <cmath>

#include "op_cases/op_case.h"

namespace gptmoe {
namespace {

double angle(int64_t t, int64_t i, int64_t d, double theta) {
  return static_cast<double>(t) * std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(d));
}

// The first position of the document that holds element i of a (B, t) tensor. Documents have the lengths of the list,
// in turn; sequence b begins with length b. Without lengths, the sequence is one document.
int64_t start_of(const std::vector<int64_t>& lengths, int64_t i, int64_t t) {
  int64_t start = 0;
  for (size_t document = static_cast<size_t>(i / t); !lengths.empty(); ++document) {
    const int64_t next = start + lengths[document % lengths.size()];
    if (next > i % t) break;
    start = next;
  }
  return start;
}

void add_starts(OpCase& op, int64_t b, int64_t t, const std::vector<int64_t>& lengths) {
  if (lengths.empty()) return;
  std::vector<int64_t> starts;
  for (int64_t i = 0; i < b * t; ++i) starts.push_back(start_of(lengths, i, t));
  op.input("starts", {b, t}, listed(starts), Kind::i32);
}

Tensor starts_in(const Tensors& tensors, const std::vector<int64_t>& lengths) {
  return lengths.empty() ? Tensor{} : tensors["starts"];
}

// Tokens below 3, of which 1 ends documents; sequences have T tokens.
OpCase document_starts(int64_t b, int64_t t) {
  OpCase op("document_starts", {b, t});
  op.input("tokens", {b, t}, below(3), Kind::i32);
  op.result("starts", {b, t}, Kind::i32);
  op.forward = [](Ops& ops, const Tensors& t) { ops.document_starts(t["starts"], t["tokens"], 1); };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < b * t; ++i)
      v["starts"][i] = i % t == 0 ? 0 : v["tokens"][i - 1] == 1 ? static_cast<double>(i % t) : v["starts"][i - 1];
  };
  return op;
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

OpCase rope(int64_t b, int64_t t, int64_t h, int64_t g, int64_t d, int64_t table_t,
            const std::vector<int64_t>& lengths = {}) {
  const int64_t s = h + 2 * g, pairs = d / 2;
  const auto table = [=](double (*function)(double)) {
    return [=](const Rng&, int64_t i) { return function(angle(i / pairs, i % pairs, d, 10000)); };
  };
  OpCase op("rope", {b, t, h, g, d}, lengths.empty() ? "" : "documents");
  op.input("cos", {table_t, pairs}, table(std::cos), Kind::stat);
  op.input("sin", {table_t, pairs}, table(std::sin), Kind::stat);
  op.variable("qkv", {b, t, s, d}, normal(), Write::assign);
  op.output("y", {b, t, s, d});
  op.in_place("y", "qkv");
  op.in_place("dqkv", "dy");
  add_starts(op, b, t, lengths);
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.rope_forward(t["y"], t["cos"], t["sin"], h + g, starts_in(t, lengths));
  };
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.rope_backward(t["dqkv"], t["cos"], t["sin"], h + g, starts_in(t, lengths));
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < b * t * s; ++i) {
      if (i % s >= h + g) continue;
      for (int64_t p = 0; p < pairs; ++p) {
        const int64_t at = (i / s % t - start_of(lengths, i / s, t)) * pairs + p;
        const double x = v["qkv"][i * d + p], y = v["qkv"][i * d + p + pairs];
        v["y"][i * d + p] = x * v["cos"][at] - y * v["sin"][at];
        v["y"][i * d + p + pairs] = x * v["sin"][at] + y * v["cos"][at];
      }
    }
  };
  return op;
}

// out (d) = the softmax of one query q over `seen` keys: key(at) and value(at) give the key and value at `at`, which
// counts from 0. Returns the log-sum-exp of the scores.
template <typename Row>
double attend_naively(double* out, const double* q, int64_t seen, int64_t d, Row key, Row value) {
  std::vector<double> weights(seen);
  double largest = -INFINITY, sum = 0;
  for (int64_t at = 0; at < seen; ++at) {
    double score = 0;
    for (int64_t i = 0; i < d; ++i) score += q[i] * key(at)[i] / std::sqrt(static_cast<double>(d));
    weights[at] = score;
    largest = std::max(largest, score);
  }
  for (double& weight : weights) sum += weight = std::exp(weight - largest);
  for (int64_t i = 0; i < d; ++i) {
    out[i] = 0;
    for (int64_t at = 0; at < seen; ++at) out[i] += weights[at] / sum * value(at)[i];
  }
  return largest + std::log(sum);
}

// Computes out and lse of one query, number `row` of (b, t, h), with a softmax over all keys that the query sees: those
// from position `start` to its own.
void attend_in_sequence(Values& v, int64_t row, int64_t t, int64_t h, int64_t g, int64_t d, int64_t start) {
  using Row = std::function<const double*(int64_t)>;
  const int64_t head = row % h, query = row / h % t, sequence = row / h / t, s = h + 2 * g, of = h + head / (h / g);
  const auto qkv = [&](int64_t at, int64_t packed_head) {
    return &v["qkv"][((sequence * t + at) * s + packed_head) * d];
  };
  const Row key = [&](int64_t at) { return qkv(start + at, of); };
  const Row value = [&](int64_t at) { return qkv(start + at, g + of); };
  v["lse"][(sequence * h + head) * t + query] =
      attend_naively(&v["out"][row * d], qkv(query, head), query + 1 - start, d, key, value);
}

// Computes out of one query, number `row` of (b, t, h). The keys and values are in a cache of x positions. The query of
// token number i sees positions [0, first + i].
void attend_to_cache(Values& v, int64_t row, int64_t t, int64_t h, int64_t g, int64_t d, int64_t x, int64_t first) {
  using Row = std::function<const double*(int64_t)>;
  const int64_t head = row % h, query = row / h % t, sequence = row / h / t, of = head / (h / g);
  const auto kv = [&](int64_t at, int64_t packed_head) {
    return &v["kv"][((sequence * x + at) * 2 * g + packed_head) * d];
  };
  const Row key = [&](int64_t at) { return kv(at, of); }, value = [&](int64_t at) { return kv(at, g + of); };
  const double* q = &v["qkv"][(row / h * (h + 2 * g) + head) * d];
  attend_naively(&v["out"][row * d], q, first + query + 1, d, key, value);
}

OpCase attention(int64_t b, int64_t t, int64_t h, int64_t g, int64_t d, double spread = 1,
                 std::string_view variant = "", const std::vector<int64_t>& lengths = {}) {
  OpCase op("attention", {b, t, h, g, d}, variant);
  op.variable("qkv", {b, t, h + 2 * g, d}, normal(0, spread), Write::assign);
  op.output("out", {b, t, h, d});
  op.result("lse", {b, h, t}, Kind::stat);
  add_starts(op, b, t, lengths);
  op.forward = [=](Ops& ops, const Tensors& t) {
    ops.attention_forward(t["out"], t["lse"], t["qkv"], starts_in(t, lengths));
  };
  op.backward = [=](Ops& ops, const Tensors& t) {
    ops.attention_backward(t["dqkv"], t["dout"], t["out"], t["lse"], t["qkv"], starts_in(t, lengths));
  };
  // Gradients of scores are rounded to bf16, and the first queries' are larger than most.
  op.bf16_tolerance = 2e-2;
  op.reference = [=](Values& v) {
    for (int64_t row = 0; row < b * t * h; ++row) attend_in_sequence(v, row, t, h, g, d, start_of(lengths, row / h, t));
  };
  return op;
}

OpCase document_attention(int64_t b, int64_t t, int64_t h, int64_t g, int64_t d, std::string_view variant,
                          const std::vector<int64_t>& lengths) {
  return attention(b, t, h, g, d, 1, variant, lengths);
}

// Documents of one token, documents shorter than the blocks of every kernel, and longer ones. They end at the edges of
// blocks and next to them.
void add_document_cases(OpCases& cases) {
  for (auto [b, t] : {std::array<int64_t, 2>{1, 1}, {3, 13}, {2, 32}, {4, 70}, {2, 300}})
    cases.tests.push_back(document_starts(b, t));
  cases.tests.push_back(rope(3, 50, 3, 1, 6, 50, {7, 1, 20}));
  cases.tests.push_back(rope(2, 70, 2, 2, 32, 80, {33}));
  const auto add = [&](int64_t b, int64_t t, int64_t h, int64_t g, int64_t d, std::string_view variant,
                       const std::vector<int64_t>& lengths) {
    cases.tests.push_back(document_attention(b, t, h, g, d, variant, lengths));
  };
  add(3, 13, 4, 2, 6, "documents", {5, 1, 3});
  add(1, 40, 2, 1, 6, "single_tokens", {1});
  add(2, 64, 2, 2, 32, "edges", {32, 16});
  add(2, 130, 2, 1, 32, "documents", {50, 3, 40});
  add(1, 270, 2, 1, 2, "documents", {101, 7, 90, 30});
  add(2, 130, 2, 1, 64, "documents", {33, 60, 2});
  add(1, 300, 2, 2, 64, "long", {170, 129});
  add(1, 260, 2, 1, 64, "edges", {128, 64, 63, 5});
  add(1, 130, 2, 1, 128, "documents", {40, 70, 1});
  add(1, 50, 2, 1, 72, "documents", {9, 30});
  add(1, 70, 2, 1, 256, "documents", {36, 10});

  // The same tokens, cut into shorter and shorter documents. The time should fall with the sum of the squared lengths.
  for (int64_t length : {1024, 256, 64})
    cases.benchmarks.push_back(
        document_attention(1, 2048, 4, 4, 64, text("documents_of_", length), std::vector<int64_t>{length}));
  for (int64_t length : {1024, 256, 64})
    cases.gpu_benchmarks.push_back(
        document_attention(8, 2048, 16, 16, 64, text("documents_of_", length), std::vector<int64_t>{length}));
}

OpCase cache_keys_values(int64_t b, int64_t t, int64_t h, int64_t g, int64_t d, int64_t x, int64_t first) {
  const int64_t s = h + 2 * g, width = 2 * g * d;
  OpCase op("cache_keys_values", {b, t, h, g, d, x, first});
  op.input("before", {b, x, 2 * g, d}, normal());
  op.input("qkv", {b, t, s, d}, normal());
  op.result("kv", {b, x, 2 * g, d}, Kind::real);
  op.in_place("kv", "before");
  op.exact("kv");
  op.forward = [=](Ops& ops, const Tensors& t) { ops.cache_keys_values(t["kv"], t["qkv"], first); };
  op.reference = [=](Values& v) {
    for (int64_t n = 0; n < b * t; ++n)
      for (int64_t i = 0; i < width; ++i)
        v["kv"][(n / t * x + first + n % t) * width + i] = v["qkv"][n * s * d + h * d + i];
  };
  return op;
}

OpCase cached_attention(int64_t b, int64_t t, int64_t h, int64_t g, int64_t d, int64_t x, int64_t first,
                        double spread = 1, std::string_view variant = "") {
  OpCase op("cached_attention", {b, t, h, g, d, x, first}, variant);
  op.input("qkv", {b, t, h + 2 * g, d}, normal(0, spread));
  op.input("kv", {b, x, 2 * g, d}, normal(0, spread));
  op.result("out", {b, t, h, d}, Kind::real);
  op.forward = [=](Ops& ops, const Tensors& t) { ops.cached_attention(t["out"], t["qkv"], t["kv"], first); };
  op.reference = [=](Values& v) {
    for (int64_t row = 0; row < b * t * h; ++row) attend_to_cache(v, row, t, h, g, d, x, first);
  };
  return op;
}

void add_cache_cases(OpCases& cases) {
  for (auto [b, t, h, g, d, x, first] : {std::array<int64_t, 7>{1, 1, 1, 1, 2, 1, 0},
                                         {1, 1, 4, 2, 6, 9, 8},
                                         {2, 1, 3, 1, 32, 70, 40},
                                         {2, 5, 4, 2, 6, 20, 7},
                                         {1, 3, 4, 4, 20, 150, 130},
                                         {3, 2, 2, 1, 64, 40, 0},
                                         {1, 2, 2, 1, 128, 40, 30},
                                         {1, 1, 2, 1, 72, 33, 31},
                                         {1, 1, 2, 1, 256, 70, 65}}) {
    cases.tests.push_back(cache_keys_values(b, t, h, g, d, x, first));
    cases.tests.push_back(cached_attention(b, t, h, g, d, x, first));
  }
  cases.tests.push_back(cached_attention(1, 2, 2, 1, 64, 200, 150, 3, "peaked"));
  cases.tests.back().tolerance = 1e-4;
  cases.benchmarks.push_back(cached_attention(1, 1, 4, 4, 64, 2048, 2047));
  cases.gpu_benchmarks.push_back(cached_attention(1, 1, 16, 16, 64, 2048, 2047));
}

}  // namespace

void add_attention_hopper_cases(std::vector<OpCase>& cases, int64_t multiprocessors) {
  cases.push_back(attention(1, 201, 2, 1, 64));
  cases.push_back(attention(1, 130, 2, 2, 128));
  // The scores of tens show a wrong maximum, and the heads keep each multiprocessor busy.
  cases.push_back(attention(2, 4 * multiprocessors, 6, 3, 64, 3, "peaked"));
  cases.push_back(attention(1, 4 * multiprocessors, 4, 2, 128));
}

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
                               {1, 260, 1, 1, 128},  // more tiles of keys than Hopper's kernels have stages for
                               {1, 50, 2, 1, 72},
                               {1, 40, 2, 1, 256},
                               {9, 3, 2, 1, 8}})
    tests.push_back(attention(b, t, h, g, d));
  // Scores of tens give nearly one-hot rows, where a stale running maximum would overflow or lose everything.
  for (auto [spread, d] : {std::pair<double, int64_t>{6, 6}, {3, 64}}) {
    tests.push_back(attention(1, 130, 2, 1, d, spread, "peaked"));
    tests.back().tolerance = 1e-4;  // an f32 score of 100 is accurate to 1e-5
  }

  add_cache_cases(cases);
  add_document_cases(cases);
  cases.benchmarks.push_back(rope(16, 256, 4, 4, 64, 256));
  cases.benchmarks.push_back(attention(16, 128, 4, 4, 32));
  cases.benchmarks.push_back(attention(16, 256, 4, 4, 64));
  cases.benchmarks.push_back(attention(1, 2048, 4, 4, 64));
  cases.gpu_benchmarks.push_back(rope(8, 2048, 16, 16, 64, 2048));
  cases.gpu_benchmarks.push_back(attention(8, 2048, 16, 16, 64));
}

}  // namespace gptmoe
