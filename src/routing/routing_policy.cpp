#include "routing/routing_policy.h"

namespace gptmoe {

void RoutingPolicy::route(const Pass& pass, const Routing& routing, const Tensor& logits_NE) {
  pass.ops.router_softmax_forward(routing.probs_NE, routing.lse_N, logits_NE);
  pass.ops.topk_forward(routing.expert_ids_NK, routing.gates_NK, routing.probs_NE, setup_.norm_topk_prob, 1);
}

void RoutingPolicy::combine(const Pass& pass, const Routing& routing, const Tensor& y_NC, const Tensor& rows_RC) {
  pass.ops.topk_combine_forward(y_NC, rows_RC, routing.gates_NK, routing.positions_NK);
}

void RoutingPolicy::route_backward(const Pass& pass, const Routing& routing, const Tensor& dlogits_NE,
                                   const Tensor& dprobs_NE) {
  if (setup_.aux_scale != 0)
    pass.ops.load_balance_backward(dprobs_NE, routing.balance_fractions_E, setup_.aux_scale * pass.share);
  pass.ops.router_softmax_backward(dlogits_NE, dprobs_NE, routing.probs_NE);
  if (setup_.z_loss_scale != 0)
    pass.ops.z_loss_backward(dlogits_NE, routing.probs_NE, routing.lse_N, setup_.z_loss_scale * pass.share);
}

Routing allocate_routing(Arena& arena, const RoutingPolicy& policy, int64_t N, int64_t E, DType stat) {
  const int64_t K = policy.experts_per_token(), W = policy.kept_per_token();
  const Tensor offsets_E1 = arena.allocate(DType::i64, {E + 1});
  return {.probs_NE = arena.allocate(stat, {N, E}),
          .lse_N = arena.allocate(stat, {N}),
          .expert_ids_NK = arena.allocate(DType::i32, {N, K}),
          .gates_NK = arena.allocate(stat, {N, K}),
          .offsets_E1 = offsets_E1,
          .slots_R = arena.allocate(DType::i32, {N * K}),
          .positions_NK = arena.allocate(DType::i32, {N, K}),
          .load_offsets_E1 = policy.counts_loads_apart() ? arena.allocate(DType::i64, {E + 1}) : offsets_E1,
          .kept_NW = W > 0 ? arena.allocate(stat, {N, W}) : Tensor{}};
}

}  // namespace gptmoe
