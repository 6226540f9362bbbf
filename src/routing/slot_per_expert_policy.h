#pragma once
#include "routing/routing_policy.h"

namespace gptmoe {

// For routers that let a token run any number of experts. Every token has E slots. Slot n*E + e belongs to expert e; it
// is dead if the token does not run e. A slot's gate is the expert's probability, and a token's probabilities need not
// sum to 1. K experts per token run on average.
class SlotPerExpertPolicy : public RoutingPolicy {
 public:
  using RoutingPolicy::RoutingPolicy;

  int64_t experts_per_token() const override { return setup_.num_experts; }
  int64_t live_experts_per_token() const override { return setup_.num_experts_per_tok; }
  bool probs_sum_to_one() const override { return false; }
  // The gradients of the gates are those of the probabilities.
  void combine_backward(const Pass& pass, const Routing& routing, const Tensor& drows_RC, const Tensor& dprobs_NE,
                        const Tensor& dy_NC, const Tensor& rows_RC) override {
    pass.ops.topk_combine_backward(drows_RC, dprobs_NE, dy_NC, rows_RC, routing.gates_NK, routing.positions_NK);
  }
};

}  // namespace gptmoe
