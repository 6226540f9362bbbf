#include "routing/router_table.h"
#include "routing/topk_policy.h"

namespace gptmoe {
namespace {

// Auxiliary-loss-free load balancing (Wang et al., arXiv 2408.15664). Like TopK, but each expert has a bias that
// affects which experts are chosen but not their gates. After every step the bias falls if the expert's load, over all
// micro-batches and ranks, was above the mean, and rises if it was below:
//   A(n) = the K largest of p_n + b,  y_n = sum_{i in A(n)} p_i E_i(x_n),  b_e <- b_e + rate * sign(mean load - load_e)
// p are softmax probabilities, or sigmoids of the logits as in the paper. DeepSeek-V3 (arXiv 2412.19437) uses sigmoids,
// divides the chosen p by their sum (model.norm_topk_prob) and multiplies the gates by a constant.
// State per layer: the bias, named as in Hugging Face's DeepSeek-V3, and the loads of the current step so far.
class LossFreePolicy final : public TopkPolicy {
 public:
  LossFreePolicy(const RouterSetup& setup, double rate, bool sigmoid, double scale)
      : TopkPolicy(setup), rate_(rate), scale_(scale), sigmoid_(sigmoid) {}

  bool probs_sum_to_one() const override { return !sigmoid_; }

  void add_state(StateTable& state, const std::string& prefix, DType stat) override {
    const std::string name = prefix + "gate.e_score_correction_bias";
    bias_E_ = state.add(name, stat, {setup_.num_experts});
    loads_E_ = state.add(name + ".loads", stat, {setup_.num_experts}, false);
  }
  void route(const Pass& pass, const Routing& routing, const Tensor& logits_NE) override {
    if (sigmoid_)
      pass.ops.sigmoid_router_forward(routing.probs_NE, logits_NE);
    else
      pass.ops.router_softmax_forward(routing.probs_NE, routing.lse_N, logits_NE);
    pass.ops.topk_forward(routing.expert_ids_NK, routing.gates_NK, routing.probs_NE, setup_.norm_topk_prob, scale_,
                          value(bias_E_));
  }
  void observe(const Pass& pass, const Routing& routing, const Tensor&) override {
    pass.ops.load_accumulate(value(loads_E_), routing.offsets_E1);
  }
  void route_backward(const Pass& pass, const Routing& routing, const Tensor& dlogits_NE,
                      const Tensor& dprobs_NE) override {
    if (sigmoid_)
      pass.ops.sigmoid_router_backward(dlogits_NE, dprobs_NE, routing.probs_NE);
    else
      TopkPolicy::route_backward(pass, routing, dlogits_NE, dprobs_NE);
  }
  void end_step(const Pass& pass) override {
    pass.communicator.all_reduce(value(loads_E_), Traffic::balance);
    pass.ops.bias_commit(value(bias_E_), value(loads_E_), rate_);
  }

 private:
  double gate_scale() const override { return scale_; }

  double rate_;   // "bias_rate"
  double scale_;  // "routed_scaling_factor"
  bool sigmoid_;  // "gate": "softmax" | "sigmoid"
  StateId bias_E_, loads_E_;
};

std::unique_ptr<RoutingPolicy> make_loss_free(const RouterSetup& setup, Fields& fields) {
  double rate = 1e-4, scale = 1;
  std::string gate = "softmax";
  fields.optional("bias_rate", rate, {.min = 0, .max = 1}, "How far a bias moves in a step.");
  fields.optional("gate", gate, {"softmax", "sigmoid"}, "Function that turns logits into scores.");
  fields.optional("routed_scaling_factor", scale, {.min = 0, .max = 1e3, .open_min = true},
                  "Factor on every gate; DeepSeek-V3 has 2.5, with sigmoids and model.norm_topk_prob.");
  const bool sigmoid = gate == "sigmoid";
  if (sigmoid && (setup.aux_scale != 0 || setup.z_loss_scale != 0))
    fields.fail("gate",
                "\"sigmoid\" needs model.router_aux_loss_coef = 0 and model.router_z_loss_coef = 0: both losses are "
                "defined on softmax probabilities");
  return std::make_unique<LossFreePolicy>(setup, rate, sigmoid, scale);
}

}  // namespace

Router loss_free_router() {
  return {.name = "loss_free",
          .sentence =
              "TopK balanced without a loss: each expert has a bias that affects which experts are chosen but not "
              "their gates (arXiv 2408.15664).",
          .make = make_loss_free,
          .trials = {{.keys = R"({"bias_rate": 0.05})"},
                     {.name = "sigmoid", .keys = R"({"bias_rate": 0.05, "gate": "sigmoid"})", .balance_loss = false},
                     {.name = "scaled",
                      .keys = R"({"bias_rate": 0.05, "gate": "sigmoid", "routed_scaling_factor": 2.5})",
                      .balance_loss = false}}};
}

}  // namespace gptmoe
