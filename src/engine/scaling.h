#pragma once
// Predicts how a run scales by simulating one step of one rank in order. Matrix products run at a given rate.
// Collectives run as rings over a given link, one after another, and overlap with compute until the compute waits for
// them.
#include "engine/engine.h"

namespace gptmoe {

// What one rank's share of its machine can do.
struct RankSpeed {
  double flops = 0;         // FLOPs of a step's matrix products / seconds of its compute before the optimizer
  double memory_bytes = 0;  // bytes/s of the optimizer's update
  double link_bytes = 0;    // bytes/s that a rank sends in ring collectives
  double latency = 0;       // seconds of an empty collective
};

struct StepTime {
  double products = 0, optimizer = 0;  // seconds
  TrafficCosts communication;          // `seconds`: the time that compute waits for it
  double in_all() const;
};

// Predicts a step of `config` on `ranks` ranks. `ops` plans the memory. Throws UserError if the ranks cannot share the
// batch equally.
StepTime predict_step(const Config& config, int ranks, const Ops& ops, const RankSpeed& speed);

}  // namespace gptmoe
