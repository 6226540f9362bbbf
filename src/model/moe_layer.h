#pragma once
#include <memory>
#include <optional>

#include "model/mlp.h"
#include "routing/routing_policy.h"

namespace gptmoe {

// A mixture-of-experts feed-forward layer: router, sort, grouped products, combine, optional shared experts.
// Dropless: no token's choice is dropped. There are always R = N*K slots, so every size is known before the first
// token; some slots may be dead, that is, have no expert (kernels/moe_ops.inc).
class MoeLayer {
 public:
  // Parameters PREFIXgate.weight (E, C), PREFIXexperts.E.{gate,up,down}_proj.weight, PREFIXshared_experts.*.
  MoeLayer(const LayerSetup& setup, const std::string& prefix, const RouterConfig& router);

  // stats_W (stat, stats_width(E)) is this layer's row of the run's router statistics: fractions (E), balance loss,
  // entropy, the two norms of RoutingPolicy::fill_norms(), and the mean of the step's fractions so far (E; used with
  // balance_scope "step").
  static constexpr int64_t stats_width(int64_t num_experts) { return 2 * num_experts + 4; }
  MoeSaved allocate(Arena& arena, const Ops& ops, int64_t N, const Tensor& stats_W) const;
  // Writes y_NC (=).
  void forward(const Pass& pass, const MoeSaved& saved, const Tensor& y_NC, const Tensor& x_NC) const;
  // Writes dx_NC (=) and adds to the parameters' gradients (+=).
  void backward(const Pass& pass, const MoeSaved& saved, const Tensor& dx_NC, const Tensor& dy_NC,
                const Tensor& x_NC) const;

  // Called once per optimizer step, after the weights are updated.
  void end_step(const Pass& pass) const;

  RoutingPolicy& policy() const { return *policy_; }
  // Parameters of the experts that a token does not choose.
  int64_t idle_parameter_count() const {
    return (E_ - policy_->chosen_per_token()) * C_ * (activation_.input_width(F_) + F_);
  }
  // The share of the R slots that should be live.
  double live_share() const { return static_cast<double>(policy_->live_experts_per_token()) / static_cast<double>(K_); }

 private:
  void route(const Pass& pass, const MoeSaved& saved, const Tensor& x_NC) const;
  // Writes balance_fractions and balance_loss (=).
  void measure_balance(const Pass& pass, const MoeSaved& saved) const;
  // Writes dx_NC (=) and adds to the gradient of the router's weight (+=).
  void router_backward(const Pass& pass, const MoeSaved& saved, const Tensor& dx_NC, const Tensor& dprobs_NE,
                       const Tensor& x_NC) const;

  const ParamTable& params_;
  const StateTable& state_;
  std::unique_ptr<RoutingPolicy> policy_;
  Activation activation_;
  int64_t C_, E_, K_, F_;
  MoeWeights weights_;
  std::optional<Mlp> shared_;
  std::optional<StateId> step_fractions_E1_;  // sums over the step's micro-batches; only with balance_scope "step"
};

}  // namespace gptmoe
