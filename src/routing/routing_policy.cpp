#include "routing/routing_policy.h"

namespace gptmoe {

void RoutingPolicy::route(const Pass& pass, const Routing& routing, const Tensor& logits_NE) {
  pass.ops.router_softmax_forward(routing.probs_NE, routing.lse_N, logits_NE);
  pass.ops.topk_forward(routing.expert_ids_NK, routing.gates_NK, routing.probs_NE, setup_.norm_topk_prob);
}

void RoutingPolicy::route_backward(const Pass& pass, const Routing& routing, const Tensor& dlogits_NE,
                                   const Tensor& dprobs_NE) {
  if (setup_.aux_scale != 0)
    pass.ops.load_balance_backward(dprobs_NE, routing.balance_fractions_E, setup_.aux_scale * pass.share);
  pass.ops.router_softmax_backward(dlogits_NE, dprobs_NE, routing.probs_NE);
  if (setup_.z_loss_scale != 0)
    pass.ops.z_loss_backward(dlogits_NE, routing.probs_NE, routing.lse_N, setup_.z_loss_scale * pass.share);
}

}  // namespace gptmoe
