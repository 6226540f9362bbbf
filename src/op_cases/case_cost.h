#pragma once
// What a pass of a case costs at least, on any backend: nothing runs.
#include <set>

#include "op_cases/op_case.h"

namespace gptmoe {

// A case's tensors without memory, which remember what was asked for.
class UncommittedTensors final : public Tensors {
 public:
  UncommittedTensors(const OpCase& op, const Ops& ops);
  const Tensor& operator[](std::string_view name) const override;
  bool named(const std::string& name) const { return named_.contains(name); }

 private:
  std::map<std::string, Tensor, std::less<>> tensors_;
  mutable std::set<std::string> named_;
};

struct PassCost {
  double flops = 0;  // as PlanOps counts them
  // Of the operands that the pass names, each once, twice where it is both read and written; of each only the elements
  // that are reached, of scratch none.
  double bytes = 0;
};
PassCost forward_cost(const OpCase& op, const Ops& ops);
PassCost backward_cost(const OpCase& op, const Ops& ops);

}  // namespace gptmoe
