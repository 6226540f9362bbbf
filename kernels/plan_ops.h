#pragma once
// Ops that compute nothing. Running a step through them, over arenas that are not committed, gives the scratch
// high-water mark and, with a FlopCounter, the floating-point operations of every matrix product.
#include "kernels/ops.h"

namespace gptmoe {

Ops make_plan_ops(DType compute, DType statistics, int64_t logit_elements, int64_t workspace_bytes);
// Ops with the memory layout of `ops`.
Ops make_plan_ops(const Ops& ops);

class FlopCounter final : public OpObserver {
 public:
  // live_share: the share of the R sorted rows that should be live (moe_ops.inc).
  explicit FlopCounter(double live_share = 1) : live_share_(live_share) {}

  double flops() const { return flops_; }
  void reset() { flops_ = 0; }
  void before(const OpCall& call) override { flops_ += call.flops(live_share_); }

 private:
  double live_share_, flops_ = 0;
};

}  // namespace gptmoe
