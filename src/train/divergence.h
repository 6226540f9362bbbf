#pragma once
#include <functional>

#include "checkpoint/finite_rows.h"
#include "distributed/world.h"
#include "train/metrics.h"

namespace gptmoe {

// Ends a run whose numbers are not finite. Every rank calls its functions. They throw NumericFailure on every rank, and
// rank 0 records in the metrics that the run diverged.
class Divergence {
 public:
  // `progress` is the run's current state, and `metrics` is null except on rank 0. Keeps references to all arguments.
  Divergence(World& world, const Progress& progress, MetricsFile* metrics)
      : world_(world), progress_(progress), metrics_(metrics) {}

  // Calls `check`, which throws NumericFailure if the run diverged.
  void check(const std::function<void()>& check);
  // Checks the tensors of a checkpoint. Each rank checks those that it holds.
  void require_finite(Ops& ops, const CheckpointTensors& tensors);
  // Checks a loss, which is the same on all ranks. The message calls it the `which` loss, such as "validation".
  void require_finite_loss(const char* which, double loss);

 private:
  World& world_;
  const Progress& progress_;
  MetricsFile* const metrics_;
};

}  // namespace gptmoe
