#pragma once
// What every layer needs to run, besides its own tensors.
#include "distributed/communicator.h"
#include "kernels/ops.h"
#include "memory/arena.h"

namespace gptmoe {

enum class PassKind {
  train,      // forward that a backward follows; routers learn from it
  recompute,  // the same forward once more inside the backward; routers must not learn twice
  evaluate,   // nothing changes but, where a backward follows, gradients
};

class DataParallel;
class MoeObserver;

struct Pass {
  Ops& ops;
  Scratch& scratch;
  Communicator& communicator;
  PassKind kind = PassKind::evaluate;
  // This micro-batch's share of the step, 1 / (accumulation * ranks): what mean-over-micro-batches losses are scaled
  // by.
  double share = 1.0;
  // Of the passes between which gradients are reduced and weights gathered; null in the others, and with one rank.
  DataParallel* reducer = nullptr;   // the backward hands it every bucket
  DataParallel* gatherer = nullptr;  // the forward awaits every bucket's weights
  MoeObserver* observer = nullptr;   // of measurements: model/moe_observer.h

  Pass as(PassKind other) const { return {ops, scratch, communicator, other, share, reducer, gatherer, observer}; }
};

}  // namespace gptmoe
