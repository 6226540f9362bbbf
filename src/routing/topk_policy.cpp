#include "routing/topk_policy.h"

#include "routing/router_table.h"

namespace gptmoe {

void TopkPolicy::combine_backward(const Pass& pass, const Routing& routing, const Tensor& drows_RC,
                                  const Tensor& dprobs_NE, const Tensor& dy_NC, const Tensor& rows_RC) {
  Scratch::Frame frame(pass.scratch);
  const Tensor& gates = routing.gates_NK;
  const Tensor dgates_NK = frame.allocate(gates.dtype(), {gates.size(0), gates.size(1)});
  pass.ops.topk_combine_backward(drows_RC, dgates_NK, dy_NC, rows_RC, gates, routing.positions_NK);
  pass.ops.topk_backward(dprobs_NE, dgates_NK, gates, routing.expert_ids_NK, routing.probs_NE, setup_.norm_topk_prob,
                         gate_scale());
}

namespace {

std::unique_ptr<RoutingPolicy> make_topk(const RouterSetup& setup, Fields&) {
  return std::make_unique<TopkPolicy>(setup);
}

}  // namespace

Router topk_router() {
  return {.name = "topk", .sentence = "Each token visits the K experts with the highest scores.", .make = make_topk};
}

}  // namespace gptmoe
