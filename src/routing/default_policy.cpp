#include "routing/routing_policy.h"
#include "runtime/init.h"

namespace gptmoe {
namespace {

// Default MoE (Panda et al., arXiv 2504.12463). Experts that a token did not choose contribute their default vector,
// the moving average of their outputs, so that every router logit of every token receives gradient:
//   y_n = sum_{i chosen} p_i E_i(x_n) + sum_{i not chosen} p_i D_i,   D_i <- beta D_i + (1 - beta) mean_i
// No gradient flows into D. State per layer: default_vectors (E, C), and the sums that are pending when D moves once
// per step.
class DefaultPolicy final : public RoutingPolicy {
 public:
  struct Options {
    double beta = 0.9;           // "ema_beta"
    bool score_weighted = true;  // "ema_weighting": "router_score" | "uniform" (what mean_i weights rows by)
    bool update_in_forward =
        true;                  // "ema_update": "forward" (before use, each micro-batch) | "step" (once, after the step)
    bool normal_init = false;  // "ema_init": "zeros" | "normal" (standard normal)
    bool in_forward = true;    // "default_forward": false = D enters the router's backward only
    double clip = 0;           // "ema_clip": rows longer than clip * median row enter mean_i scaled down; 0 = off
  };

  DefaultPolicy(const RouterSetup& setup, const Options& options) : RoutingPolicy(setup), options_(options) {}

  std::optional<MovingAverage> moving_average() const override {
    if (options_.beta == 1) return std::nullopt;
    return MovingAverage{"default vectors", 1 / (1 - options_.beta), !options_.update_in_forward};
  }
  void declare_state(StateTable& state, const std::string& prefix, DType stat) override;
  void initialize_state(Memory& memory, const StateTable& state, uint64_t seed) override;
  void observe(const Pass& pass, const StateTable& state, const Routing& routing, const Tensor& rows_RC) override;
  void combine(const Pass& pass, const StateTable& state, const Routing& routing, const Tensor& y_NC,
               const Tensor& rows_RC) override;
  void combine_backward(const Pass& pass, const StateTable& state, const Routing& routing, const Tensor& drows_RC,
                        const Tensor& dprobs_NE, const Tensor& dy_NC, const Tensor& rows_RC) override;
  void end_step(const Pass& pass, const StateTable& state) override;

 private:
  void commit(const Pass& pass, const StateTable& state);

  Options options_;
  // Of the pending sums, which lie side by side: one collective takes both.
  Tensor sums_EC(const StateTable& state) const {
    return state.value(pending_).rows(0, sum_count()).view({setup_.num_experts, setup_.hidden_size});
  }
  Tensor weights_E(const StateTable& state) const {
    return state.value(pending_).rows(sum_count(), setup_.num_experts);
  }
  int64_t sum_count() const { return setup_.num_experts * setup_.hidden_size; }

  StateId default_EC_, pending_;
};

void DefaultPolicy::declare_state(StateTable& state, const std::string& prefix, DType stat) {
  default_EC_ = state.add(prefix + "default_vectors", stat, {setup_.num_experts, setup_.hidden_size});
  pending_ = state.add(prefix + "default_vectors.pending", stat, {sum_count() + setup_.num_experts}, false);
}

void DefaultPolicy::initialize_state(Memory& memory, const StateTable& state, uint64_t seed) {
  if (!options_.normal_init) return;
  const StateRow& row = state.rows().at(static_cast<size_t>(default_EC_.row));
  const int64_t count = row.value.count();
  initialize_row(memory, {{row.value.view({count})}}, count, Init::normal(1.0), seed, row.name);
}

void DefaultPolicy::observe(const Pass& pass, const StateTable& state, const Routing& routing, const Tensor& rows_RC) {
  Scratch::Frame frame(pass.scratch);
  Tensor row_scale_R;
  if (options_.clip > 0) {
    row_scale_R = frame.allocate(routing.gates_NK.dtype(), {rows_RC.size(0)});
    pass.ops.default_clip_scale(row_scale_R, rows_RC, options_.clip);
  }
  pass.ops.default_accumulate(sums_EC(state), weights_E(state), rows_RC,
                              options_.score_weighted ? routing.gates_NK : Tensor{}, routing.slots_R,
                              routing.offsets_E1, row_scale_R);
  if (options_.update_in_forward) commit(pass, state);
}

void DefaultPolicy::end_step(const Pass& pass, const StateTable& state) {
  if (!options_.update_in_forward) commit(pass, state);
}

void DefaultPolicy::commit(const Pass& pass, const StateTable& state) {
  pass.communicator.all_reduce(state.value(pending_), Traffic::default_vectors);
  pass.ops.default_commit(state.value(default_EC_), sums_EC(state), weights_E(state), options_.beta);
}

void DefaultPolicy::combine(const Pass& pass, const StateTable& state, const Routing& routing, const Tensor& y_NC,
                            const Tensor& rows_RC) {
  if (options_.in_forward)
    pass.ops.default_combine_forward(y_NC, rows_RC, routing.probs_NE, routing.expert_ids_NK, routing.positions_NK,
                                     state.value(default_EC_));
  else
    pass.ops.topk_combine_forward(y_NC, rows_RC, routing.gates_NK, routing.positions_NK);
}

void DefaultPolicy::combine_backward(const Pass& pass, const StateTable& state, const Routing& routing,
                                     const Tensor& drows_RC, const Tensor& dprobs_NE, const Tensor& dy_NC,
                                     const Tensor& rows_RC) {
  pass.ops.default_combine_backward(drows_RC, dprobs_NE, dy_NC, rows_RC, routing.probs_NE, routing.expert_ids_NK,
                                    routing.positions_NK, state.value(default_EC_));
}

}  // namespace

std::unique_ptr<RoutingPolicy> make_default_policy(const RouterSetup& setup, JsonSection& block) {
  DefaultPolicy::Options options;
  options.beta = block.number("ema_beta", 0.0, 1.0, options.beta);
  options.score_weighted = block.choice("ema_weighting", {"router_score", "uniform"}, "router_score") == "router_score";
  options.update_in_forward = block.choice("ema_update", {"forward", "step"}, "forward") == "forward";
  options.normal_init = block.choice("ema_init", {"zeros", "normal"}, "zeros") == "normal";
  options.in_forward = block.boolean("default_forward", options.in_forward);
  options.clip = block.number("ema_clip", 0.0, 1e9, options.clip);
  if (setup.norm_topk_prob)
    block.fail("type",
               "\"default\" needs model.norm_topk_prob = false: default vectors fill in for the probability "
               "that the chosen experts leave");
  return std::make_unique<DefaultPolicy>(setup, options);
}

}  // namespace gptmoe
