#include "op_cases/op_case.h"

#include <algorithm>
#include <iterator>

namespace gptmoe {

Fill normal(double mean, double deviation) {
  return [=](const Rng& rng, int64_t i) { return mean + deviation * rng.normal(i); };
}

Fill uniform(double low, double high) {
  return [=](const Rng& rng, int64_t i) { return low + (high - low) * rng.uniform(i); };
}

Fill below(int64_t bound) {
  return [=](const Rng& rng, int64_t i) { return static_cast<double>(rng.below(i, bound)); };
}

Fill constant(double value) {
  return [=](const Rng&, int64_t) { return value; };
}

int64_t TensorSpec::count() const {
  int64_t n = 1;
  for (int64_t size : sizes) n *= size;
  return n;
}

OpCase::OpCase(std::string_view op_name, std::initializer_list<int64_t> sizes, std::string_view variant) : op(op_name) {
  for (int64_t size : sizes) shape += text(shape.empty() ? "" : "x", size);
  const std::string suffix = variant.empty() ? "" : text("_", variant);
  name = text(op, "_", shape, suffix);
  op += suffix;
}

void OpCase::input(std::string_view tensor, Sizes sizes, Fill fill, Kind kind) {
  tensors.push_back({std::string(tensor), Role::input, kind, std::move(sizes), std::move(fill), ""});
}

void OpCase::variable(std::string_view tensor, Sizes sizes, Fill fill, Write gradient, Kind kind) {
  input(tensor, sizes, std::move(fill), kind);
  const std::string dtensor = text("d", tensor);
  tensors.push_back({dtensor, Role::gradient, kind, std::move(sizes), nullptr, ""});
  if (gradient == Write::add) accumulates(dtensor);
}

void OpCase::parameter(std::string_view tensor, Sizes sizes, Fill fill) {
  variable(tensor, std::move(sizes), std::move(fill), Write::add);
  spec(text("d", tensor)).kind = Kind::stat;
}

void OpCase::output(std::string_view tensor, Sizes sizes, Kind kind, Fill gradient) {
  result(tensor, sizes, kind);
  input(text("d", tensor), std::move(sizes), std::move(gradient), kind);
}

void OpCase::result(std::string_view tensor, Sizes sizes, Kind kind) {
  tensors.push_back({std::string(tensor), Role::output, kind, std::move(sizes), nullptr, ""});
}

void OpCase::scratch(std::string_view tensor, Sizes sizes, Kind kind) {
  tensors.push_back({std::string(tensor), Role::scratch, kind, std::move(sizes), nullptr, ""});
}

void OpCase::accumulates(std::string_view tensor) { spec(tensor).fill = normal(); }

void OpCase::in_place(std::string_view tensor, std::string_view source) {
  GPTMOE_CHECK(spec(tensor).count() == spec(source).count() && spec(tensor).kind == spec(source).kind);
  spec(tensor).starts_as = source;
}

void OpCase::ends_at(std::string_view tensor, int64_t live) {
  spec(tensor).live = live;
  if (const std::string gradient = text("d", tensor); find(gradient)) spec(gradient).live = live;
}

TensorSpec& OpCase::spec(std::string_view tensor) {
  const TensorSpec* found = find(tensor);
  GPTMOE_CHECK(found, name, " has no tensor ", tensor);
  return const_cast<TensorSpec&>(*found);
}

const TensorSpec* OpCase::find(std::string_view tensor) const {
  for (const TensorSpec& spec : tensors)
    if (spec.name == tensor) return &spec;
  return nullptr;
}

const OpCases& op_cases() {
  static const OpCases cases = [] {
    OpCases all;
    add_dense_cases(all);
    add_norm_cases(all);
    add_attention_cases(all);
    add_lm_head_cases(all);
    add_router_cases(all);
    add_balance_cases(all);
    add_sparsemixer_cases(all);
    add_threshold_cases(all);
    add_moe_cases(all);
    add_grouped_cases(all);
    add_default_cases(all);
    add_optim_cases(all);
    add_rounding_cases(all);
    return all;
  }();
  return cases;
}

bool has_hopper_kernel(const OpCase& op) {
  return std::any_of(std::begin(kHopperOps), std::end(kHopperOps),
                     [&](std::string_view name) { return op.name.starts_with(text(name, "_")); });
}

std::vector<OpCase> hopper_cases(int64_t multiprocessors) {
  std::vector<OpCase> cases;
  add_grouped_hopper_cases(cases, multiprocessors);
  add_attention_hopper_cases(cases, multiprocessors);
  return cases;
}

}  // namespace gptmoe
