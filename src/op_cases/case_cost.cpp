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
  explicit CostSum(const OpCase& op) {
    for (const TensorSpec& spec : op.tensors)
      if (spec.live >= 0) live_share_ = static_cast<double>(spec.live) / static_cast<double>(spec.count());
  }
  void before(const OpCall& call) override {
    cost.flops += call.flops(live_share_);
    cost.bytes += call.bytes(live_share_);
  }
  PassCost cost;

 private:
  double live_share_ = 1;
};

PassCost cost_of(const OpCase& op, const OpPass& pass, const Ops& ops) {
  CostSum sum(op);
  Ops plan = make_plan_ops(ops).observed_by(sum);
  pass(plan, UncommittedTensors(op, ops));
  return sum.cost;
}

}  // namespace

PassCost forward_cost(const OpCase& op, const Ops& ops) { return cost_of(op, op.forward, ops); }
PassCost backward_cost(const OpCase& op, const Ops& ops) { return cost_of(op, op.backward, ops); }

}  // namespace gptmoe
