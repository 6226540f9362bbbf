#pragma once
// The least cost of a pass of a case, on any backend. Nothing runs.
#include "op_cases/op_case.h"

namespace gptmoe {

struct PassCost {
  double flops = 0;  // sum over the ops that the pass calls
  double bytes = 0;  // as OpCall counts them, but each tensor once and scratch never: as if ops passed data on without
                     // memory
};
PassCost forward_cost(const OpCase& op, const Ops& ops);
PassCost backward_cost(const OpCase& op, const Ops& ops);

}  // namespace gptmoe
