#pragma once
#include "config/config.h"
#include "kernels/ops.h"

namespace gptmoe {

struct RanksPlan {
  int64_t ranks = 1;
  double link = 0, rate = 0, latency = 0;  // GB/s, TFLOP/s and microseconds of a rank; 0: assumed
};

// Prints what `plan` says of a run on several ranks: memory of each and traffic per step, with and without ZeRO stage
// 1, and what follows for the speed. `matrix_rate`: FLOP/s of this machine's large products, 0 on paper.
void print_ranks_plan(const Config& config, const Ops& ops, const RanksPlan& plan, double matrix_rate);

}  // namespace gptmoe
