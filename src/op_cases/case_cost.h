#pragma once
// What a pass of a case costs at least, on any backend: nothing runs.
#include "op_cases/op_case.h"

namespace gptmoe {

struct PassCost {
  double flops = 0;  // the sum over the ops that the pass calls
  double bytes = 0;  // as OpCall counts them, but each tensor once and scratch never: as if nothing between ops passed
                     // through memory
};
PassCost forward_cost(const OpCase& op, const Ops& ops);
PassCost backward_cost(const OpCase& op, const Ops& ops);

}  // namespace gptmoe
