#include "op_cases/case_cost.h"

#include "kernels/plan_ops.h"
#include "op_cases/case_run.h"

namespace gptmoe {
namespace {

// A case's tensors without memory.
class UncommittedTensors final : public Tensors {
 public:
  UncommittedTensors(const OpCase& op, const Ops& ops) {
    for (const TensorSpec& spec : op.tensors)
      tensors_.emplace(spec.name, make_tensor(nullptr, dtype_of(spec.kind, ops), spec.sizes));
  }
  const Tensor& operator[](std::string_view name) const override {
    const auto found = tensors_.find(name);
    GPTMOE_CHECK(found != tensors_.end(), "no tensor ", name);
    return found->second;
  }

 private:
  std::map<std::string, Tensor, std::less<>> tensors_;
};

class CostSum final : public OpObserver {
 public:
  explicit CostSum(const OpCase& op) : live_share_(live_share_of(op)) {}
  void before(const OpCall& call) override {
    flops_ += call.flops(live_share_);
    std::map<const Tensor*, double> in_call;  // an in-place op names a tensor twice
    for (const auto& [tensor, bytes] : call.moved(live_share_)) in_call[tensor] += bytes;
    for (const auto& [tensor, bytes] : in_call) bytes_[tensor] = std::max(bytes_[tensor], bytes);
  }
  // Scratch is passed from op to op without memory traffic.
  PassCost cost_without_scratch(const OpCase& op, const Tensors& tensors) {
    for (const TensorSpec& spec : op.tensors)
      if (spec.role == Role::scratch) bytes_.erase(&tensors[spec.name]);
    PassCost cost{flops_};
    for (const auto& [tensor, bytes] : bytes_) cost.bytes += bytes;
    return cost;
  }

 private:
  double live_share_, flops_ = 0;
  std::map<const Tensor*, double> bytes_;
};

void run_on_paper(const OpPass& pass, const Ops& ops, OpObserver& observer, const Tensors& tensors) {
  Ops plan = make_plan_ops(ops).observed_by(observer);
  pass(plan, tensors);
}

PassCost cost_of(const OpCase& op, const OpPass& pass, const Ops& ops) {
  CostSum sum(op);
  const UncommittedTensors tensors(op, ops);
  run_on_paper(pass, ops, sum, tensors);
  return sum.cost_without_scratch(op, tensors);
}

}  // namespace

double live_share_of(const OpCase& op) {
  double share = 1;
  for (const TensorSpec& spec : op.tensors)
    if (spec.live >= 0) share = static_cast<double>(spec.live) / static_cast<double>(spec.count());
  return share;
}

void observe_pass(const OpCase& op, const OpPass& pass, const Ops& ops, OpObserver& observer) {
  run_on_paper(pass, ops, observer, UncommittedTensors(op, ops));
}

PassCost forward_cost(const OpCase& op, const Ops& ops) { return cost_of(op, op.forward, ops); }
PassCost backward_cost(const OpCase& op, const Ops& ops) { return cost_of(op, op.backward, ops); }

}  // namespace gptmoe
