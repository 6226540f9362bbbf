#pragma once
// What every layer needs to run, in addition to its own tensors.
#include "distributed/communicator.h"
#include "kernels/ops.h"
#include "memory/arena.h"

namespace gptmoe {

enum class PassKind {
  train,      // forward before a backward; routers learn from it
  recompute,  // the same forward once more inside the backward; routers must not learn twice
  evaluate,   // changes no state; if a backward follows, it adds to gradients only
};

class DataParallel;
class MoeObserver;

struct Pass {
  Ops& ops;
  Scratch& scratch;
  Communicator& communicator;
  PassKind kind = PassKind::evaluate;
  // This micro-batch's share of the step, 1 / (micro-batches per rank * ranks). It scales losses that are means over
  // micro-batches.
  double share = 1.0;
  // Set in the passes that reduce gradients or gather weights. Null in all other passes, and always with one rank.
  DataParallel* reducer = nullptr;   // the backward pass gives it every bucket
  DataParallel* gatherer = nullptr;  // the forward pass waits for it to gather each bucket's weights
  MoeObserver* observer = nullptr;   // for measurements, see model/moe_observer.h

  Pass as(PassKind other) const { return {ops, scratch, communicator, other, share, reducer, gatherer, observer}; }
};

}  // namespace gptmoe
