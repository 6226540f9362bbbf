// The experts' products, plain and fused with SwiGLU.
#include <cmath>

#include "op_cases/op_case.h"
#include "op_cases/routing_plan.h"

namespace gptmoe {
namespace {

enum class Rows { sorted, gathered };

// The x of ops with slots: either sorted rows, or tokens. The gradient of tokens is summed from `sorted_dx`.
struct Source {
  Rows rows;
  int64_t k;
  std::vector<int64_t> slots;

  Source(OpCase& op, const RoutingShape& shape, const RoutingPlan& plan, Rows rows_, int64_t width)
      : rows(rows_), k(shape.k), slots(plan.slots) {
    const int64_t r = shape.n * shape.k;
    if (rows == Rows::sorted) {
      op.variable("x", {r, width}, normal(), Write::assign);
      op.ends_at("x", plan.live() * width);
      return;
    }
    op.variable("x", {shape.n, width}, normal(), Write::add);
    op.input("slots", {r}, listed(plan.slots), Kind::i32);
    op.ends_at("slots", plan.live());
    op.input("positions", {shape.n, shape.k}, listed(plan.positions), Kind::i32);
    op.scratch("sorted_dx", {r, width});
  }
  Tensor slots_of(const Tensors& t) const { return rows == Rows::sorted ? Tensor{} : t["slots"]; }
  // Computes dx from dy, for a product with w.
  void backward_input(Ops& ops, const Tensors& t, const Tensor& dy) const {
    if (rows == Rows::sorted) return ops.grouped_linear_backward_input(t["dx"], dy, t["w"], t["offsets"]);
    ops.grouped_linear_backward_input(t["sorted_dx"], dy, t["w"], t["offsets"]);
    ops.scatter_rows_add(t["dx"], t["sorted_dx"], t["positions"]);
  }
  // The row of x that sorted row r reads.
  int64_t row(int64_t r) const { return rows == Rows::sorted ? r : slots[r] / k; }
};

std::string variant(Spread spread, std::string_view more) {
  const std::string name(spread_name(spread));
  return name.empty() || more.empty() ? name + std::string(more) : name + "_" + std::string(more);
}
std::string variant(Spread spread, Rows rows) { return variant(spread, rows == Rows::gathered ? "gathered" : ""); }

// sum_j x[row(r), j] * w[expert of r, o, j].
double product(const Values& v, const RoutingPlan& plan, const Source& source, int64_t r, int64_t o, int64_t out,
               int64_t in) {
  const int64_t expert = plan.expert_ids[plan.slots[r]];
  double sum = 0;
  for (int64_t j = 0; j < in; ++j)
    sum += v.find("x")->second[source.row(r) * in + j] * v.find("w")->second[(expert * out + o) * in + j];
  return sum;
}

OpCase grouped_linear(const RoutingShape& shape, Rows rows, int64_t in, int64_t out) {
  const auto [n, k, e, spread] = shape;
  const int64_t r = n * k;
  const RoutingPlan plan = shape.plan();
  OpCase op("grouped_linear", {n, k, e, in, out}, variant(spread, rows));
  const Source source(op, shape, plan, rows, in);
  op.parameter("w", {e, out, in}, normal());
  op.input("offsets", {e + 1}, listed(plan.offsets), Kind::i64);
  op.output("y", {r, out});
  op.ends_at("y", plan.live() * out);
  op.forward = [source](Ops& ops, const Tensors& t) {
    ops.grouped_linear_forward(t["y"], t["x"], t["w"], t["offsets"], source.slots_of(t));
  };
  op.backward = [source](Ops& ops, const Tensors& t) {
    source.backward_input(ops, t, t["dy"]);
    ops.grouped_linear_backward_weight(t["dw"], t["dy"], t["x"], t["offsets"], source.slots_of(t));
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < plan.live() * out; ++i) v["y"][i] = product(v, plan, source, i / out, i % out, out, in);
  };
  return op;
}

double silu(double x) { return x / (1 + std::exp(-x)); }

OpCase grouped_swiglu(const RoutingShape& shape, Rows rows, int64_t in, int64_t f) {
  const auto [n, k, e, spread] = shape;
  const int64_t r = n * k;
  const RoutingPlan plan = shape.plan();
  OpCase op("grouped_swiglu", {n, k, e, in, f}, variant(spread, rows));
  const Source source(op, shape, plan, rows, in);
  op.parameter("w", {e, 2 * f, in}, normal(0, 1 / std::sqrt(static_cast<double>(in))));
  op.input("offsets", {e + 1}, listed(plan.offsets), Kind::i64);
  op.output("a", {r, f});
  op.result("h", {r, 2 * f}, Kind::real);
  op.ends_at("a", plan.live() * f);
  op.ends_at("h", plan.live() * 2 * f);
  op.scratch("gradient_of_h", {r, 2 * f});
  op.bf16_tolerance = 2e-2;  // intermediate results are rounded
  op.forward = [source](Ops& ops, const Tensors& t) {
    ops.grouped_swiglu_forward(t["a"], t["h"], t["x"], t["w"], t["offsets"], source.slots_of(t));
  };
  op.backward = [source](Ops& ops, const Tensors& t) {
    ops.swiglu_backward(t["gradient_of_h"], t["da"], t["h"]);
    source.backward_input(ops, t, t["gradient_of_h"]);
    ops.grouped_linear_backward_weight(t["dw"], t["gradient_of_h"], t["x"], t["offsets"], source.slots_of(t));
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < plan.live() * 2 * f; ++i)
      v["h"][i] = product(v, plan, source, i / (2 * f), i % (2 * f), 2 * f, in);
    for (int64_t i = 0; i < plan.live() * f; ++i) {
      const int64_t gate = i / f * 2 * f + i % f;
      v["a"][i] = silu(v["h"][gate]) * v["h"][gate + f];
    }
  };
  return op;
}

// The gradient of h, where y = swiglu(h) w^T.
OpCase grouped_swiglu_backward(const RoutingShape& shape, int64_t f, int64_t out, bool in_place) {
  const auto [n, k, e, spread] = shape;
  const int64_t r = n * k;
  const RoutingPlan plan = shape.plan();
  OpCase op("grouped_swiglu_backward", {n, k, e, f, out}, variant(spread, in_place ? "in_place" : ""));
  op.variable("h", {r, 2 * f}, normal(), Write::assign);
  op.ends_at("h", plan.live() * 2 * f);
  op.parameter("w", {e, out, f}, normal());
  op.input("offsets", {e + 1}, listed(plan.offsets), Kind::i64);
  op.scratch("a", {r, f});
  op.bf16_tolerance = 4e-2;  // intermediate results are rounded, and the few products in a sum may nearly cancel
  op.output("y", {r, out});
  op.ends_at("y", plan.live() * out);
  if (in_place) op.in_place("dh", "h");
  op.forward = [](Ops& ops, const Tensors& t) {
    ops.swiglu_forward(t["a"], t["h"]);
    ops.grouped_linear_forward(t["y"], t["a"], t["w"], t["offsets"]);
  };
  op.backward = [in_place](Ops& ops, const Tensors& t) {
    ops.grouped_swiglu_backward(t["dh"], t["dy"], t["w"], t[in_place ? "dh" : "h"], t["offsets"]);
    ops.grouped_linear_backward_weight(t["dw"], t["dy"], t["a"], t["offsets"]);
  };
  op.reference = [=](Values& v) {
    for (int64_t i = 0; i < plan.live() * out; ++i) {
      const int64_t row = i / out, expert = plan.expert_ids[plan.slots[row]];
      v["y"][i] = 0;
      for (int64_t j = 0; j < f; ++j) {
        const double a = silu(v["h"][row * 2 * f + j]) * v["h"][row * 2 * f + f + j];
        v["y"][i] += a * v["w"][(expert * out + i % out) * f + j];
      }
    }
  };
  return op;
}

}  // namespace

void add_grouped_hopper_cases(std::vector<OpCase>& cases, int64_t multiprocessors) {
  // The largest tile has 128 x 256 results. These rows and columns give each multiprocessor about three.
  const RoutingShape many{72 * multiprocessors, 2, 9, Spread::empty_expert};
  cases.push_back(grouped_linear(kTileEdges, Rows::sorted, 72, 136));
  cases.push_back(grouped_linear(many, Rows::gathered, 136, 520));
  cases.push_back(grouped_swiglu(kTileEdges, Rows::gathered, 72, 136));
  cases.push_back(grouped_swiglu(many, Rows::sorted, 136, 264));
  cases.push_back(grouped_swiglu_backward(kTileEdges, 136, 72, true));
  cases.push_back(grouped_swiglu_backward(many, 264, 136, false));
}

void add_grouped_cases(OpCases& cases) {
  const auto test = [&](OpCase op) { cases.tests.push_back(std::move(op)); };
  int64_t c = 1;
  for (const RoutingShape& shape : routing_shapes()) {
    test(grouped_linear(shape, Rows::gathered, c, 7));
    test(grouped_linear(shape, Rows::sorted, 33, c));
    test(grouped_swiglu(shape, Rows::gathered, c, 7));
    test(grouped_swiglu(shape, Rows::gathered, 33, c));
    test(grouped_swiglu_backward(shape, 7, c, false));
    test(grouped_swiglu_backward(shape, c, 33, true));
    c = next_width(c);
  }
  for (const RoutingShape& shape : shapes_with_dead_slots()) {
    test(grouped_linear(shape, Rows::gathered, 24, 16));
    test(grouped_linear(shape, Rows::sorted, 5, 40));
    test(grouped_swiglu(shape, Rows::gathered, 24, 8));
    test(grouped_swiglu_backward(shape, 8, 24, true));
    test(grouped_swiglu_backward(shape, 7, 5, false));
  }
  // Rows and widths around the tiles of 128 x 128 x 32 of the CUDA kernels; one expert; K = E; more experts than a warp
  // has lanes; more rows than fit in one piece of the CPU kernels.
  const RoutingShape one_expert{301, 1, 1}, all_experts{50, 3, 3}, many_experts{40, 2, 70}, long_expert{1030, 1, 1};
  test(grouped_linear(kTileEdges, Rows::sorted, 40, 136));
  test(grouped_linear(kTileEdges, Rows::gathered, 136, 40));
  test(grouped_linear(one_expert, Rows::sorted, 16, 264));
  test(grouped_linear(one_expert, Rows::sorted, 40, 16));  // so few tiles that the expert's rows are split
  test(grouped_linear(one_expert, Rows::gathered, 16, 40));
  test(grouped_linear(all_experts, Rows::gathered, 104, 24));
  test(grouped_linear(many_experts, Rows::gathered, 8, 16));
  test(grouped_linear(long_expert, Rows::gathered, 8, 16));
  test(grouped_swiglu(kTileEdges, Rows::sorted, 40, 68));
  test(grouped_swiglu(kTileEdges, Rows::gathered, 16, 136));
  test(grouped_swiglu(all_experts, Rows::gathered, 104, 12));
  test(grouped_swiglu(many_experts, Rows::gathered, 8, 64));
  test(grouped_swiglu(long_expert, Rows::gathered, 8, 8));
  test(grouped_swiglu_backward(kTileEdges, 136, 40, true));
  test(grouped_swiglu_backward(all_experts, 24, 104, false));
  test(grouped_swiglu_backward(many_experts, 64, 8, false));
  test(grouped_swiglu_backward(long_expert, 8, 8, true));

  const auto benchmark = [&](OpCase op) { cases.benchmarks.push_back(std::move(op)); };
  const RoutingShape few{4096, 1, 8}, many{4096, 4, 32};
  for (const auto& [shape, f] : {std::pair{few, int64_t{704}}, std::pair{many, int64_t{176}}}) {
    benchmark(grouped_linear(shape, Rows::gathered, 256, 2 * f));
    benchmark(grouped_linear(shape, Rows::sorted, f, 256));
    benchmark(grouped_swiglu(shape, Rows::gathered, 256, f));
    benchmark(grouped_swiglu_backward(shape, f, 256, true));
  }

  const RoutingShape paper{16384, 1, 8};
  cases.gpu_benchmarks.push_back(grouped_linear(paper, Rows::gathered, 1024, 5632));
  cases.gpu_benchmarks.push_back(grouped_linear(paper, Rows::sorted, 2816, 1024));
  cases.gpu_benchmarks.push_back(grouped_swiglu(paper, Rows::gathered, 1024, 2816));
  cases.gpu_benchmarks.push_back(grouped_swiglu_backward(paper, 2816, 1024, true));
}

}  // namespace gptmoe
