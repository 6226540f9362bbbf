#include "model/moe_layer.h"

#include "model/moe_observer.h"
#include "routing/router_table.h"

namespace gptmoe {

MoeLayer::MoeLayer(const LayerSetup& setup, const std::string& prefix, const RouterConfig& router)
    : params_(setup.params),
      state_(setup.state),
      policy_(make_routing_policy(router, router_setup(setup.config))),
      activation_(setup.config),
      C_(setup.config.hidden_size),
      E_(setup.config.num_experts),
      K_(policy_->experts_per_token()),
      F_(setup.config.moe_intermediate_size) {
  const Init init = Init::normal(setup.init.weight);
  std::vector<ParamSpec> up, down;
  for (int64_t e = 0; e < E_; ++e) {
    const std::string expert = prefix + "experts." + std::to_string(e) + ".";
    for (ParamSpec& row : first_product_rows(activation_, expert, F_, C_, init)) up.push_back(std::move(row));
    down.push_back({expert + "down_proj.weight", {C_, F_}, Init::normal(setup.init.residual_writer)});
  }
  weights_.up_EUC = setup.params.add_block({E_, activation_.input_width(F_), C_}, up);
  weights_.down_ECF = setup.params.add_block({E_, C_, F_}, down);
  if (setup.config.n_shared_experts > 0)
    shared_.emplace(setup, prefix + "shared_experts.", setup.config.n_shared_experts * F_);
  // Added last, so that this row of another dtype does not split the experts' rows, which are reduced in one piece.
  weights_.gate_EC = setup.params.add({prefix + "gate.weight", {E_, C_}, init, true, true});
  policy_->declare_state(setup.state, prefix, setup.stat);
  if (setup.config.balance_scope == "step")
    step_fractions_E1_ = setup.state.add(prefix + "gate.step_fractions", setup.stat, {E_ + 1}, false);
}

MoeSaved MoeLayer::allocate(Arena& arena, const Ops& ops, int64_t N, const Tensor& stats_W) const {
  const DType real = ops.compute_dtype();
  const int64_t R = N * K_;
  MoeSaved saved;
  saved.routing = allocate_routing(arena, *policy_, N, E_, ops.statistics_dtype());
  saved.routing.fractions_E = stats_W.rows(0, E_);
  saved.routing.balance_fractions_E = stats_W.rows(step_fractions_E1_ ? E_ + 4 : 0, E_);
  saved.routing.fill_norms_2 = stats_W.rows(E_ + 2, 2);
  saved.balance_loss_1 = stats_W.rows(E_, 1);
  saved.entropy_1 = stats_W.rows(E_ + 1, 1);
  saved.h_RU = arena.allocate(real, {R, activation_.input_width(F_)});
  saved.a_RF = arena.allocate(real, {R, F_});
  saved.rows_RC = arena.allocate(real, {R, C_});
  if (shared_) saved.shared = shared_->allocate(arena, ops, N);
  return saved;
}

void MoeLayer::route(const Pass& pass, const MoeSaved& saved, const Tensor& x_NC) const {
  Scratch::Frame frame(pass.scratch);
  const Routing& routing = saved.routing;
  const Tensor logits_NE = frame.allocate(pass.ops.statistics_dtype(), {x_NC.size(0), E_});
  pass.ops.router_linear_forward(logits_NE, x_NC, params_.value(weights_.gate_EC));
  policy_->route(pass, routing, logits_NE);
  pass.ops.sort_by_expert(routing.offsets_E1, routing.slots_R, routing.positions_NK, routing.expert_ids_NK);
  if (pass.kind == PassKind::recompute) return;  // the first pass took this micro-batch's statistics
  pass.ops.expert_fractions(routing.fractions_E, routing.load_offsets_E1,
                            x_NC.size(0) * policy_->chosen_per_token() * pass.communicator.size());
  if (pass.kind == PassKind::evaluate)
    pass.ops.router_entropy(saved.entropy_1, routing.probs_NE, !policy_->probs_sum_to_one());
}

void MoeLayer::forward(const Pass& pass, const MoeSaved& saved, const Tensor& y_NC, const Tensor& x_NC) const {
  const Routing& routing = saved.routing;
  route(pass, saved, x_NC);
  // The all-reduce of the fractions runs while the experts compute.
  Communicator::Ticket fractions = 0;
  const bool first_time = pass.kind != PassKind::recompute;  // else the statistics were taken already
  if (first_time) fractions = pass.communicator.start_all_reduce(routing.fractions_E, Traffic::balance);
  activation_.grouped_forward(pass, saved.a_RF, saved.h_RU, x_NC, params_.value(weights_.up_EUC), routing.offsets_E1,
                              routing.slots_R);
  pass.ops.grouped_linear_forward(saved.rows_RC, saved.a_RF, params_.value(weights_.down_ECF), routing.offsets_E1);
  if (first_time) {
    pass.communicator.wait(fractions);
    measure_balance(pass, saved);
  }
  if (pass.kind == PassKind::train) policy_->observe(pass, routing, saved.rows_RC);
  if (pass.observer && first_time) pass.observer->forward(routing, saved.rows_RC);
  policy_->combine(pass, routing, y_NC, saved.rows_RC);
  if (pass.kind == PassKind::evaluate) policy_->fill_norms(pass, routing, y_NC);
  if (shared_) shared_->forward(pass, saved.shared, y_NC, x_NC, Write::add);
}

void MoeLayer::measure_balance(const Pass& pass, const MoeSaved& saved) const {
  const Routing& routing = saved.routing;
  if (step_fractions_E1_ && pass.kind == PassKind::train)
    pass.ops.mean_fractions(routing.balance_fractions_E, state_.value(*step_fractions_E1_), routing.fractions_E);
  else if (step_fractions_E1_)
    pass.ops.copy(routing.balance_fractions_E, routing.fractions_E);
  pass.ops.load_balance_forward(saved.balance_loss_1, routing.probs_NE, routing.balance_fractions_E);
}

void MoeLayer::end_step(const Pass& pass) const {
  policy_->end_step(pass);
  if (step_fractions_E1_) pass.ops.zero(state_.value(*step_fractions_E1_));
}

void MoeLayer::backward(const Pass& pass, const MoeSaved& saved, const Tensor& dx_NC, const Tensor& dy_NC,
                        const Tensor& x_NC) const {
  const Routing& routing = saved.routing;
  Scratch::Frame frame(pass.scratch);
  const Tensor dprobs_NE = frame.allocate(pass.ops.statistics_dtype(), {x_NC.size(0), E_});
  const Tensor drows_RC = frame.allocate(pass.ops.compute_dtype(), {routing.slots_R.size(0), C_});
  policy_->combine_backward(pass, routing, drows_RC, dprobs_NE, dy_NC, saved.rows_RC);
  if (pass.observer) pass.observer->backward(routing, x_NC, dy_NC, dprobs_NE);

  pass.ops.grouped_linear_backward_weight(params_.grad(weights_.down_ECF), drows_RC, saved.a_RF, routing.offsets_E1);
  const Tensor& dh_RU = saved.h_RU;  // in place: h is no longer needed
  activation_.grouped_backward(pass, dh_RU, drows_RC, params_.value(weights_.down_ECF), saved.h_RU, routing.offsets_E1);
  pass.ops.grouped_linear_backward_weight(params_.grad(weights_.up_EUC), dh_RU, x_NC, routing.offsets_E1,
                                          routing.slots_R);
  const Tensor& dx_RC = drows_RC;  // in place as well
  pass.ops.grouped_linear_backward_input(dx_RC, dh_RU, params_.value(weights_.up_EUC), routing.offsets_E1);

  router_backward(pass, saved, dx_NC, dprobs_NE, x_NC);
  pass.ops.scatter_rows_add(dx_NC, dx_RC, routing.positions_NK);
  if (shared_) shared_->backward(pass, saved.shared, dx_NC, dy_NC, x_NC, Write::add);
}

void MoeLayer::router_backward(const Pass& pass, const MoeSaved& saved, const Tensor& dx_NC, const Tensor& dprobs_NE,
                               const Tensor& x_NC) const {
  Scratch::Frame frame(pass.scratch);
  const Tensor dlogits_NE = frame.allocate(pass.ops.statistics_dtype(), {x_NC.size(0), E_});
  policy_->route_backward(pass, saved.routing, dlogits_NE, dprobs_NE);
  pass.ops.router_linear_backward(dx_NC, params_.grad(weights_.gate_EC), dlogits_NE, x_NC,
                                  params_.value(weights_.gate_EC), Write::assign);
}

}  // namespace gptmoe
