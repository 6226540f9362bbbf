#pragma once
#include "cli/plan_speed.h"
#include "engine/engine.h"

namespace gptmoe {

// Prints the part of `plan` about every kernel of a step on a GPU: its work, its least possible time, its predicted
// time, and the sums of these. With several ranks, also prints the collectives. `engine` is the engine of one rank.
void print_kernels_plan(const Config& config, const Engine& engine, const Ops& ops, int ranks, const PlanSpeed& speed);

}  // namespace gptmoe
