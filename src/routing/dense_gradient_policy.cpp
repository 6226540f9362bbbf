#include "routing/router_table.h"
#include "routing/topk_policy.h"

namespace gptmoe {
namespace {

// The exact dense router gradient. The output is TopK's, but every router logit of every token receives the gradient
// that it would have if all experts had answered:
//   y_n = sum_{i chosen} p_i E_i(x_n),   dL/dp_i = <dy_n, E_i(x_n)> for all i.
// This is the gradient of y_n + sum_{i not chosen} p_i sg(E_i(x_n)) with TopK's dy, where sg stops the gradient.
// Default MoE approximates this gradient with default vectors. Here all experts run in training, but the weights of
// experts that were not chosen receive no gradient. Evaluation runs only the chosen experts.
class DenseGradientPolicy final : public TopkPolicy {
 public:
  using TopkPolicy::TopkPolicy;

  int64_t experts_per_token() const override { return setup_.num_experts; }
  int64_t chosen_per_token() const override { return setup_.num_experts_per_tok; }
  bool counts_loads_apart() const override { return true; }

  // expert_ids lists all experts in descending order of probability. Only the first K keep their gates.
  void route(const Pass& pass, const Routing& routing, const Tensor& logits_NE) override {
    pass.ops.router_softmax_forward(routing.probs_NE, routing.lse_N, logits_NE);
    pass.ops.topk_forward(routing.expert_ids_NK, routing.gates_NK, routing.probs_NE, false, 1);
    Scratch::Frame frame(pass.scratch);
    const int64_t N = routing.probs_NE.size(0), E = setup_.num_experts;
    const Tensor slots_R = frame.allocate(DType::i32, {N * E});
    const Tensor positions_NE = frame.allocate(DType::i32, {N, E});
    Tensor chosen_NE = routing.expert_ids_NK;
    if (pass.kind != PassKind::evaluate) chosen_NE = frame.allocate(DType::i32, {N, E});
    pass.ops.drop_choices(chosen_NE, routing.gates_NK, routing.expert_ids_NK, setup_.num_experts_per_tok);
    pass.ops.sort_by_expert(routing.load_offsets_E1, slots_R, positions_NE, chosen_NE);
  }
};

std::unique_ptr<RoutingPolicy> make_dense_gradient(const RouterSetup& setup, Fields& fields) {
  if (setup.norm_topk_prob)
    fields.fail("type",
                "\"dense_gradient\" needs model.norm_topk_prob = false: a logit's gradient is its expert's output");
  return std::make_unique<DenseGradientPolicy>(setup);
}

}  // namespace

Router dense_gradient_router() {
  return {.name = "dense_gradient",
          .sentence = "TopK whose router receives the exact gradient of all experts, which all run in training.",
          .make = make_dense_gradient,
          .trials = {{.plain_gradient = false}}};
}

}  // namespace gptmoe
