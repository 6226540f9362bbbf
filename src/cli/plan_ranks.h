#pragma once
#include "config/config.h"
#include "kernels/ops.h"

namespace gptmoe {

struct RanksPlan {
  int64_t ranks = 1;
  double link = 0, rate = 0, latency = 0;  // of one rank: GB/s, TFLOP/s, microseconds; 0: assumed
};

// Prints the part of `plan` about several ranks: memory per rank, traffic per step and predicted speed, with and
// without ZeRO stage 1. `matrix_rate`: FLOP/s of this machine's large products; 0: assumed.
void print_ranks_plan(const Config& config, const Ops& ops, const RanksPlan& plan, double matrix_rate);

}  // namespace gptmoe
