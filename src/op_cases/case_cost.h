#pragma once
// The least cost of a pass of a case, on any backend. Nothing runs.
#include "op_cases/op_case.h"

namespace gptmoe {

struct PassCost {
  double flops = 0;  // sum over the ops that the pass calls
  // As OpCall counts them, but each tensor counts once per pass, and scratch never: as if the ops of the pass gave
  // their results to each other without going through memory.
  double bytes = 0;
};
PassCost forward_cost(const OpCase& op, const Ops& ops);
PassCost backward_cost(const OpCase& op, const Ops& ops);

}  // namespace gptmoe
