#pragma once
// How well a run would scale, on paper: one step of one rank is rehearsed in order, its products at a given rate, its
// collectives as rings over a given link, one after the other and beside what is computed until that waits for them.
#include "engine/engine.h"

namespace gptmoe {

// What one rank has of its machine.
struct RankSpeed {
  double flops = 0;         // FLOP/s that a step's products reach, everything in between counted in
  double memory_bytes = 0;  // bytes/s that the optimizer's update reaches
  double link_bytes = 0;    // bytes/s that a rank sends in a ring
  double latency = 0;       // seconds of a collective of no bytes
};

struct StepTime {
  double products = 0, optimizer = 0;  // seconds
  TrafficCosts communication;          // bytes; `seconds` are those that the rest stands still for
  double in_all() const;
};

// A step of `config` as given to all, on `ranks`. `ops` lay out. Throws UserError where the ranks cannot share the
// batch.
StepTime predict_step(const Config& config, int ranks, const Ops& ops, const RankSpeed& speed);

}  // namespace gptmoe
