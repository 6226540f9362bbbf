#pragma once
// What a pass of a case costs at least, on any backend: nothing runs.
#include "op_cases/op_case.h"

namespace gptmoe {

struct PassCost {
  double flops = 0, bytes = 0;  // the sums over the ops that the pass calls, see OpCall
};
PassCost forward_cost(const OpCase& op, const Ops& ops);
PassCost backward_cost(const OpCase& op, const Ops& ops);

}  // namespace gptmoe
