#include "op_cases/case_cost.h"

#include "kernels/plan_ops.h"
#include "op_cases/case_run.h"

namespace gptmoe {
namespace {

double bytes_of(const TensorSpec& spec, int64_t reached, const Ops& ops) {
  if (spec.role == Role::scratch) return 0;
  const bool twice = spec.written() && (spec.fill || !spec.starts_as.empty());
  const int64_t elements = reached < 0 ? spec.live_count() : reached;
  return static_cast<double>(elements * dtype_bytes(dtype_of(spec.kind, ops)) * (twice ? 2 : 1));
}

PassCost cost_of(const OpCase& op, const OpPass& pass, int64_t TensorSpec::*reached, const Ops& ops) {
  const UncommittedTensors tensors(op, ops);
  PlanOps plan(ops);
  pass(plan, tensors);
  PassCost cost{plan.flops()};
  for (const TensorSpec& spec : op.tensors)
    if (tensors.named(spec.name)) cost.bytes += bytes_of(spec, spec.*reached, ops);
  return cost;
}

}  // namespace

UncommittedTensors::UncommittedTensors(const OpCase& op, const Ops& ops) {
  for (const TensorSpec& spec : op.tensors)
    tensors_.emplace(spec.name, make_tensor(nullptr, dtype_of(spec.kind, ops), spec.sizes));
}

const Tensor& UncommittedTensors::operator[](std::string_view name) const {
  const auto found = tensors_.find(name);
  GPTMOE_CHECK(found != tensors_.end(), "no tensor ", name);
  named_.insert(found->first);
  return found->second;
}

PassCost forward_cost(const OpCase& op, const Ops& ops) {
  return cost_of(op, op.forward, &TensorSpec::forward_reaches, ops);
}
PassCost backward_cost(const OpCase& op, const Ops& ops) {
  return cost_of(op, op.backward, &TensorSpec::backward_reaches, ops);
}

}  // namespace gptmoe
