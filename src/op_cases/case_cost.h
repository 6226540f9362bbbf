#pragma once
// The calls of a pass of a case, and their least cost on any backend. Nothing runs.
#include "op_cases/op_case.h"

namespace gptmoe {

struct PassCost {
  double flops = 0;  // sum over the ops that the pass calls
  // The bytes that OpCall counts, except that each tensor counts once per pass and scratch does not count. So this is
  // the traffic of ops that pass results to each other without going through memory.
  double bytes = 0;
};
// The share of a case's sorted rows that are live.
double live_share_of(const OpCase& op);
// Shows the calls of a pass to `observer`.
void observe_pass(const OpCase& op, const OpPass& pass, const Ops& ops, OpObserver& observer);
PassCost forward_cost(const OpCase& op, const Ops& ops);
PassCost backward_cost(const OpCase& op, const Ops& ops);

}  // namespace gptmoe
