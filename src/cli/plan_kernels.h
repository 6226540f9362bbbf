#pragma once
#include "cli/plan_speed.h"
#include "engine/engine.h"

namespace gptmoe {

// Prints the part of `plan` about every kernel of a step on a GPU: its work, its least and its predicted time, and what
// they add up to; with several ranks also the collectives. `engine` is one rank's.
void print_kernels_plan(const Config& config, const Engine& engine, const Ops& ops, int ranks, const PlanSpeed& speed);

}  // namespace gptmoe
