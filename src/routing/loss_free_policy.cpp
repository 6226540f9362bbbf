#include "routing/topk_policy.h"

namespace gptmoe {
namespace {

// Auxiliary-loss-free load balancing (Wang et al., arXiv 2408.15664): TopK whose choice, not whose gates, sees a bias
// for each expert, which after every step moves against the expert's load over all micro-batches and ranks:
//   A(n) = the K largest of p_n + b,  y_n = sum_{i in A(n)} p_i E_i(x_n),  b_e <- b_e + rate * sign(mean load - load_e)
// State per layer: the bias, under the name that Hugging Face's DeepSeek-V3 gives it, and the step's loads so far.
class LossFreePolicy final : public TopkPolicy {
 public:
  LossFreePolicy(const RouterSetup& setup, double rate) : TopkPolicy(setup), rate_(rate) {}

  void declare_state(StateTable& state, const std::string& prefix, DType stat) override {
    const std::string name = prefix + "gate.e_score_correction_bias";
    bias_E_ = state.add(name, stat, {setup_.num_experts});
    loads_E_ = state.add(name + ".loads", stat, {setup_.num_experts}, false);
  }
  void route(const Pass& pass, const StateTable& state, const Routing& routing, const Tensor& logits_NE) override {
    pass.ops.router_softmax_forward(routing.probs_NE, routing.lse_N, logits_NE);
    pass.ops.topk_forward(routing.expert_ids_NK, routing.gates_NK, routing.probs_NE, setup_.norm_topk_prob,
                          state.value(bias_E_));
  }
  void observe(const Pass& pass, const StateTable& state, const Routing& routing, const Tensor&) override {
    pass.ops.load_accumulate(state.value(loads_E_), routing.offsets_E1);
  }
  void end_step(const Pass& pass, const StateTable& state) override {
    pass.communicator.all_reduce(state.value(loads_E_), Traffic::balance);
    pass.ops.bias_commit(state.value(bias_E_), state.value(loads_E_), rate_);
  }

 private:
  double rate_;  // "bias_rate"
  StateId bias_E_, loads_E_;
};

}  // namespace

std::unique_ptr<RoutingPolicy> make_loss_free_policy(const RouterSetup& setup, JsonSection& block) {
  return std::make_unique<LossFreePolicy>(setup, block.number("bias_rate", 0.0, 1.0, 1e-4));
}

}  // namespace gptmoe
