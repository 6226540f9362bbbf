#include "routing/router_table.h"
#include "routing/slot_per_expert_policy.h"

namespace gptmoe {
namespace {

// Expert Threshold (Sun et al., arXiv 2603.11535). Each expert has a threshold. A token runs every expert whose
// threshold its logit exceeds. So tokens run different numbers of experts, and a token's experts do not depend on other
// tokens:
//   A(n) = {e: r_ne > c_e},  y_n = sum_{e in A(n)} sigmoid(r_ne) E_e(x_n)
// The threshold follows the expert's cutoff, the value that a share K / E of its logits exceeds, so that a token runs K
// experts on average. The cutoff is measured in every training micro-batch over all ranks, and the threshold is
// the moving average of the steps' mean cutoffs. In the first `warmup_steps` steps the thresholds are not reliable yet.
// So training compares logits with the micro-batch's own cutoffs in these steps: each expert takes its K / E share of
// the tokens (expert choice). Evaluation always compares logits with the thresholds.
//
// State per layer: the thresholds and the number of steps they have seen. While a step runs, also the sums of its
// cutoffs, and the values that its last micro-batch compared logits with, which recomputation needs.
class ExpertThresholdPolicy final : public SlotPerExpertPolicy {
 public:
  ExpertThresholdPolicy(const RouterSetup& setup, double decay, int64_t warmup_steps)
      : SlotPerExpertPolicy(setup), decay_(decay), warmup_steps_(warmup_steps) {}

  std::optional<MovingAverage> moving_average() const override {
    return MovingAverage{"thresholds", 1 / (1 - decay_), true};
  }

  void add_state(StateTable& state, const std::string& prefix, DType stat) override;
  void route(const Pass& pass, const Routing& routing, const Tensor& logits_NE) override;
  void route_backward(const Pass& pass, const Routing& routing, const Tensor& dlogits_NE,
                      const Tensor& dprobs_NE) override;
  void end_step(const Pass& pass) override;

 private:
  void measure(const Pass& pass, const Tensor& logits_NE);

  static constexpr int64_t kBins = 2048;

  double decay_;          // "threshold_decay"
  int64_t warmup_steps_;  // "warmup_steps"
  StateId thresholds_E_, steps_1_, pending_;

  // Parts of pending_, which is zero between steps.
  Tensor used_E() const { return value(pending_).rows(0, setup_.num_experts); }
  Tensor mean_cutoffs_E() const { return value(pending_).rows(setup_.num_experts, setup_.num_experts); }
  Tensor cutoff_sums_E1() const { return value(pending_).rows(2 * setup_.num_experts, setup_.num_experts + 1); }
};

void ExpertThresholdPolicy::add_state(StateTable& state, const std::string& prefix, DType stat) {
  const int64_t E = setup_.num_experts;
  const std::string name = prefix + "gate.thresholds";
  thresholds_E_ = state.add(name, stat, {E});
  steps_1_ = state.add(name + ".steps", stat, {1});
  pending_ = state.add(name + ".pending", stat, {3 * E + 1}, false);
}

void ExpertThresholdPolicy::route(const Pass& pass, const Routing& routing, const Tensor& logits_NE) {
  if (pass.kind == PassKind::train) measure(pass, logits_NE);
  pass.ops.sigmoid_router_forward(routing.probs_NE, logits_NE);
  pass.ops.copy(routing.gates_NK, routing.probs_NE);
  pass.ops.threshold_router_forward(routing.expert_ids_NK, logits_NE,
                                    pass.kind == PassKind::evaluate ? value(thresholds_E_) : used_E());
}

// Counts are whole numbers, so the cutoffs do not depend on how the tokens are split over ranks.
void ExpertThresholdPolicy::measure(const Pass& pass, const Tensor& logits_NE) {
  Scratch::Frame frame(pass.scratch);
  const DType stat = logits_NE.dtype();
  const Tensor counts_EW = frame.allocate(stat, {setup_.num_experts, kBins});
  const Tensor cutoffs_E = frame.allocate(stat, {setup_.num_experts});
  pass.ops.zero(counts_EW);
  pass.ops.logit_counts(counts_EW, logits_NE);
  pass.communicator.all_reduce(counts_EW, Traffic::balance);
  pass.ops.count_cutoffs(cutoffs_E, counts_EW,
                         static_cast<double>(setup_.num_experts_per_tok) / static_cast<double>(setup_.num_experts));
  pass.ops.mean_fractions(mean_cutoffs_E(), cutoff_sums_E1(), cutoffs_E);
  pass.ops.pick_thresholds(used_E(), cutoffs_E, value(thresholds_E_), value(steps_1_),
                           static_cast<double>(warmup_steps_));
}

void ExpertThresholdPolicy::route_backward(const Pass& pass, const Routing& routing, const Tensor& dlogits_NE,
                                           const Tensor& dprobs_NE) {
  pass.ops.sigmoid_router_backward(dlogits_NE, dprobs_NE, routing.probs_NE);
}

void ExpertThresholdPolicy::end_step(const Pass& pass) {
  pass.ops.threshold_commit(value(thresholds_E_), value(steps_1_), mean_cutoffs_E(), decay_);
  pass.ops.zero(value(pending_));
}

std::unique_ptr<RoutingPolicy> make_expert_threshold(const RouterSetup& setup, Fields& fields) {
  double decay = 0.999;
  int64_t warmup_steps = 4000;
  fields.optional("threshold_decay", decay, {.min = 0, .max = 1, .open_max = true},
                  "Decay of the thresholds' moving average.");
  fields.optional("warmup_steps", warmup_steps, {1, int64_t{1} << 20},
                  "Number of first steps, in which each expert takes its share of every micro-batch's tokens, whatever "
                  "its threshold.");
  if (setup.norm_topk_prob)
    fields.fail("type", "\"expert_threshold\" needs model.norm_topk_prob = false: a token may run no expert");
  if (setup.aux_scale != 0 || setup.z_loss_scale != 0)
    fields.fail("type",
                "\"expert_threshold\" needs model.router_aux_loss_coef = 0 and model.router_z_loss_coef = 0: "
                "thresholds balance the load, and it has no softmax");
  return std::make_unique<ExpertThresholdPolicy>(setup, decay, warmup_steps);
}

}  // namespace

Router expert_threshold_router() {
  return {.name = "expert_threshold",
          .sentence =
              "Each expert runs for the tokens whose score exceeds its threshold, a moving average of a quantile of "
              "its scores (Expert Threshold, arXiv 2603.11535).",
          .make = make_expert_threshold,
          .trials = {{.keys = R"({"threshold_decay": 0.5, "warmup_steps": 2})",
                      .balance_loss = false,
                      .cut_freely = false,
                      .plain_gradient = false}}};  // in the warm-up, training and evaluation choose differently
}

}  // namespace gptmoe
