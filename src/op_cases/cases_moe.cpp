// Sort, scatter and the two combines.
#include "op_cases/op_case.h"
#include "op_cases/routing_plan.h"

namespace gptmoe {
namespace {

OpCase sort_by_expert(const RoutingShape& shape) {
  const auto [n, k, e, spread] = shape;
  const RoutingPlan plan = shape.plan();
  OpCase op("sort_by_expert", {n, k, e}, spread_name(spread));
  op.input("ids", {n, k}, listed(plan.expert_ids), Kind::i32);
  op.result("offsets", {e + 1}, Kind::i64);
  op.any_width("offsets");
  op.result("slots", {n * k}, Kind::i32);
  op.result("positions", {n, k}, Kind::i32);
  op.ends_at("slots", plan.live());
  op.forward = [](Ops& ops, const Tensors& t) {
    ops.sort_by_expert(t["offsets"], t["slots"], t["positions"], t["ids"]);
  };
  op.reference = [plan](Values& v) {
    v["offsets"].assign(plan.offsets.begin(), plan.offsets.end());
    v["slots"].assign(plan.slots.begin(), plan.slots.end());
    v["slots"].resize(plan.positions.size());
    v["positions"].assign(plan.positions.begin(), plan.positions.end());
  };
  return op;
}

OpCase scatter_rows_add(const RoutingShape& shape, int64_t c) {
  const auto [n, k, e, spread] = shape;
  const RoutingPlan plan = shape.plan();
  OpCase op("scatter_rows_add", {n, k, e, c}, spread_name(spread));
  op.input("rows", {n * k, c}, normal());
  op.ends_at("rows", plan.live() * c);
  op.input("positions", {n, k}, listed(plan.positions), Kind::i32);
  op.result("y", {n, c}, Kind::real);
  op.accumulates("y");
  op.forward = [](Ops& ops, const Tensors& t) { ops.scatter_rows_add(t["y"], t["rows"], t["positions"]); };
  op.reference = [=, k = k](Values& v) {
    for (int64_t i = 0; i < plan.live() * c; ++i) v["y"][plan.slots[i / c] / k * c + i % c] += v["rows"][i];
  };
  return op;
}

OpCase topk_combine(const RoutingShape& shape, int64_t c) {
  const auto [n, k, e, spread] = shape;
  const RoutingPlan plan = shape.plan();
  OpCase op("topk_combine", {n, k, e, c}, spread_name(spread));
  op.variable("rows", {n * k, c}, normal(), Write::assign);
  op.ends_at("rows", plan.live() * c);
  op.variable("gates", {n, k}, uniform(0.05, 1), Write::assign, Kind::stat);
  op.input("positions", {n, k}, listed(plan.positions), Kind::i32);
  op.output("y", {n, c});
  op.forward = [](Ops& ops, const Tensors& t) {
    ops.topk_combine_forward(t["y"], t["rows"], t["gates"], t["positions"]);
  };
  op.backward = [](Ops& ops, const Tensors& t) {
    ops.topk_combine_backward(t["drows"], t["dgates"], t["dy"], t["rows"], t["gates"], t["positions"]);
  };
  op.reference = [=, n = n, k = k](Values& v) {
    v["y"].assign(n * c, 0);
    for (int64_t i = 0; i < n * k * c; ++i) {
      const int64_t slot = i / c, channel = i % c;
      if (plan.positions[slot] < 0) continue;
      v["y"][slot / k * c + channel] += v["gates"][slot] * v["rows"][plan.positions[slot] * c + channel];
    }
  };
  return op;
}

OpCase default_combine(const RoutingShape& shape, int64_t c) {
  const auto [n, k, e, spread] = shape;
  const RoutingPlan plan = shape.plan();
  OpCase op("default_combine", {n, k, e, c}, spread_name(spread));
  op.variable("rows", {n * k, c}, normal(), Write::assign);
  op.variable("probs", {n, e}, uniform(0.05, 1), Write::assign, Kind::stat);
  op.input("ids", {n, k}, listed(plan.expert_ids), Kind::i32);
  op.input("positions", {n, k}, listed(plan.positions), Kind::i32);
  op.input("default", {e, c}, normal(), Kind::stat);
  op.output("y", {n, c});
  op.forward = [](Ops& ops, const Tensors& t) {
    ops.default_combine_forward(t["y"], t["rows"], t["probs"], t["ids"], t["positions"], t["default"]);
  };
  op.backward = [](Ops& ops, const Tensors& t) {
    ops.default_combine_backward(t["drows"], t["dprobs"], t["dy"], t["rows"], t["probs"], t["ids"], t["positions"],
                                 t["default"]);
  };
  op.reference = [=, n = n, k = k, e = e](Values& v) {
    v["y"].assign(n * c, 0);
    for (int64_t token = 0; token < n; ++token) {
      for (int64_t expert = 0; expert < e; ++expert) {
        const double* output = &v["default"][expert * c];
        for (int64_t slot = token * k; slot < (token + 1) * k; ++slot)
          if (plan.expert_ids[slot] == expert) output = &v["rows"][plan.positions[slot] * c];
        for (int64_t i = 0; i < c; ++i) v["y"][token * c + i] += v["probs"][token * e + expert] * output[i];
      }
    }
  };
  return op;
}

}  // namespace

void add_moe_cases(OpCases& cases) {
  int64_t c = 1;
  for (const RoutingShape& shape : routing_shapes()) {
    cases.tests.push_back(sort_by_expert(shape));
    cases.tests.push_back(scatter_rows_add(shape, c));
    cases.tests.push_back(topk_combine(shape, c));
    cases.tests.push_back(default_combine(shape, c));
    c = next_width(c);
  }
  for (const RoutingShape& shape : shapes_with_dead_slots()) {
    cases.tests.push_back(sort_by_expert(shape));
    cases.tests.push_back(scatter_rows_add(shape, 24));
    cases.tests.push_back(topk_combine(shape, 24));
    cases.tests.push_back(topk_combine(shape, 5));
  }
  // More experts than a warp has lanes; more slots than 512 warps take at once; rows longer than a warp's 256 elements.
  const RoutingShape many_experts{40, 2, 70};
  cases.tests.push_back(sort_by_expert(many_experts));
  cases.tests.push_back(sort_by_expert({8200, 2, 5}));
  cases.tests.push_back(scatter_rows_add({9, 2, 3}, 264));
  cases.tests.push_back(topk_combine({9, 2, 3}, 264));
  cases.tests.push_back(default_combine({9, 2, 3}, 264));
  cases.tests.push_back(default_combine(many_experts, 24));

  cases.benchmarks.push_back(sort_by_expert({4096, 8, 8, Spread::dead_slots}));
  for (const RoutingShape& shape : {RoutingShape{4096, 1, 8}, RoutingShape{4096, 4, 32}}) {
    cases.benchmarks.push_back(sort_by_expert(shape));
    cases.benchmarks.push_back(scatter_rows_add(shape, 256));
    cases.benchmarks.push_back(topk_combine(shape, 256));
    cases.benchmarks.push_back(default_combine(shape, 256));
  }

  const RoutingShape paper{16384, 1, 8};
  cases.gpu_benchmarks.push_back(sort_by_expert(paper));
  cases.gpu_benchmarks.push_back(scatter_rows_add(paper, 1024));
  cases.gpu_benchmarks.push_back(topk_combine(paper, 1024));
  cases.gpu_benchmarks.push_back(default_combine(paper, 1024));
}

}  // namespace gptmoe
