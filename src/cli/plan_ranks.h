#pragma once
#include "cli/plan_speed.h"
#include "engine/engine.h"

namespace gptmoe {

// Prints the part of `plan` about several ranks: memory per rank, traffic per step and predicted speed, for every
// distributed.zero_stage. live_share: Gpt::live_share() of the config's model.
void print_ranks_plan(const Config& config, const Ops& ops, int ranks, const PlanSpeed& speed, double live_share);

}  // namespace gptmoe
