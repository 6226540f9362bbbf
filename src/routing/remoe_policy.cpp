#include "routing/router_table.h"
#include "routing/slot_per_expert_policy.h"

namespace gptmoe {
namespace {

// ReMoE (Wang, Zhu & Chen, arXiv 2412.14711) is a router that chooses by a ReLU:
//   g_n = relu(W x_n),  y_n = sum_e g_ne E_e(x_n).
// An expert runs for the tokens that give it a gate above 0. Instead of a balance loss, a weighted L1 norm of the gates
// keeps down the number of experts that run and evens out their loads:
//   lambda * mean over MoE layers of mean_n sum_e f_e g_ne,  f_e = E / (N K) * tokens of expert e,
//   lambda <- lambda * alpha^sign(live experts per token - K), once per step.
// A slot is live if its gate is above 0. A model has one lambda and one count of live slots: the first MoE layer adds
// their state rows and the other layers share them.
class RemoePolicy final : public SlotPerExpertPolicy {
 public:
  RemoePolicy(const RouterSetup& setup, double lambda, double alpha)
      : SlotPerExpertPolicy(setup), lambda_(lambda), alpha_(alpha) {}

  void add_state(StateTable& state, const std::string& prefix, DType stat) override;
  void initialize_state(Memory& memory, uint64_t seed) override;
  void route(const Pass& pass, const Routing& routing, const Tensor& logits_NE) override;
  void observe(const Pass& pass, const Routing& routing, const Tensor& rows_RC) override;
  void route_backward(const Pass& pass, const Routing& routing, const Tensor& dlogits_NE,
                      const Tensor& dprobs_NE) override;
  void end_step(const Pass& pass) override;

 private:
  double lambda_, alpha_;  // "l1_coefficient", "l1_factor"
  bool first_layer_ = false;
  StateId lambda_1_, excess_1_;
};

void RemoePolicy::add_state(StateTable& state, const std::string&, DType stat) {
  const std::string lambda = "model.l1_coefficient", excess = lambda + ".excess";
  first_layer_ = !state.contains(lambda);
  lambda_1_ = first_layer_ ? state.add(lambda, stat, {1}) : state.find(lambda);
  excess_1_ = first_layer_ ? state.add(excess, stat, {1}, false) : state.find(excess);
}

void RemoePolicy::initialize_state(Memory& memory, uint64_t) {
  if (first_layer_) upload_values(memory, value(lambda_1_), &lambda_);
}

void RemoePolicy::route(const Pass& pass, const Routing& routing, const Tensor& logits_NE) {
  pass.ops.relu_router_forward(routing.probs_NE, routing.expert_ids_NK, logits_NE);
  pass.ops.copy(routing.gates_NK, routing.probs_NE);
}

void RemoePolicy::observe(const Pass& pass, const Routing& routing, const Tensor&) {
  const int64_t tokens = routing.probs_NE.size(0);
  pass.ops.excess_accumulate(value(excess_1_), routing.offsets_E1, tokens * live_experts_per_token());
}

void RemoePolicy::route_backward(const Pass& pass, const Routing& routing, const Tensor& dlogits_NE,
                                 const Tensor& dprobs_NE) {
  const double scale = pass.share / static_cast<double>(setup_.moe_layers);
  pass.ops.load_balance_backward(dprobs_NE, routing.balance_fractions_E, scale, value(lambda_1_));
  pass.ops.relu_router_backward(dlogits_NE, dprobs_NE, routing.probs_NE);
}

void RemoePolicy::end_step(const Pass& pass) {
  if (!first_layer_) return;
  pass.communicator.all_reduce(value(excess_1_), Traffic::balance);
  pass.ops.l1_commit(value(lambda_1_), value(excess_1_), alpha_);
}

std::unique_ptr<RoutingPolicy> make_remoe(const RouterSetup& setup, Fields& fields) {
  double lambda = 1e-8, alpha = 1.2;
  fields.optional("l1_coefficient", lambda, {.min = 1e-30, .max = 1e30},
                  "Coefficient of the L1 norm at the first step.");
  fields.optional("l1_factor", alpha, {.min = 1, .max = 1e3}, "Factor by which the coefficient changes in a step.");
  if (setup.norm_topk_prob)
    fields.fail("type", "\"remoe\" needs model.norm_topk_prob = false: a ReLU router's gates are used as they are");
  if (setup.aux_scale != 0 || setup.z_loss_scale != 0)
    fields.fail("type",
                "\"remoe\" needs model.router_aux_loss_coef = 0 and model.router_z_loss_coef = 0: its own "
                "regularisation balances the load, and it has no softmax");
  return std::make_unique<RemoePolicy>(setup, lambda, alpha);
}

}  // namespace

Router remoe_router() {
  return {
      .name = "remoe",
      .sentence = "ReLU gates instead of a choice, kept sparse by an adaptive L1 norm (ReMoE, arXiv 2412.14711).",
      .make = make_remoe,
      .trials = {
          {.keys = R"({"l1_coefficient": 0.01})", .balance_loss = false, .cut_freely = false, .plain_gradient = false},
          {.name = "unweighted",
           .keys = R"({"l1_coefficient": 1e-15})",
           .balance_loss = false,
           .plain_gradient = false}}};
}

}  // namespace gptmoe
