#include "base/rng.h"
#include "routing/router_table.h"

namespace gptmoe {
namespace {

// SparseMixer-v2 (GRIN, Liu et al., arXiv 2409.12136, after SparseMixer, arXiv 2310.00811). In training, experts are
// drawn one after another from softmaxes over the logits near the largest, and the router's gradient estimates how the
// draw affects the loss. Evaluation takes the largest logits. moe_ops.inc has the formulas. GRIN covers K = 1 and 2.
// For larger K, every further round works like the second one.
//
// State per layer: a key, and the number of tokens that training has routed so far on all ranks. A draw depends on the
// key and on the token's index in that count, so draws are the same however a step is split over ranks and
// micro-batches. The probabilities over all experts serve the balance and z losses and the reports.
class SparsemixerPolicy final : public RoutingPolicy {
 public:
  SparsemixerPolicy(const RouterSetup& setup, double jitter) : RoutingPolicy(setup), jitter_(jitter) {}

  int64_t kept_per_token() const override { return setup_.num_experts_per_tok * setup_.num_experts; }
  void add_state(StateTable& state, const std::string& prefix, DType) override {
    sampler_2_ = state.add(prefix + "gate.sampler", DType::i64, {2});
  }
  void initialize_state(Memory& memory, uint64_t seed) override {
    const StateRow& row = state_row(sampler_2_);
    const int64_t start[] = {static_cast<int64_t>(Rng(seed, hash_bytes(row.name)).bits(0)), 0};
    memory.upload(row.value, start);
  }
  void route(const Pass& pass, const Routing& routing, const Tensor& logits_NE) override;
  void combine_backward(const Pass& pass, const Routing& routing, const Tensor& drows_RC, const Tensor& dprobs_NE,
                        const Tensor& dy_NC, const Tensor& rows_RC) override;
  void route_backward(const Pass& pass, const Routing& routing, const Tensor& dlogits_NE,
                      const Tensor& dprobs_NE) override;

 private:
  double jitter_;  // "jitter": only experts whose logit is within 2 * jitter of the largest (relatively) are drawn
  StateId sampler_2_;
};

// Training first advances the sampler past the micro-batch's tokens of all ranks; the tokens then draw with the
// positions just passed. Recomputation does not advance the sampler, so the tokens draw the same experts again.
void SparsemixerPolicy::route(const Pass& pass, const Routing& routing, const Tensor& logits_NE) {
  const int64_t tokens = logits_NE.size(0), ranks = pass.communicator.size();
  const Tensor& sampler_2 = value(sampler_2_);
  if (pass.kind == PassKind::train) pass.ops.sampler_advance(sampler_2, tokens * ranks);
  pass.ops.router_softmax_forward(routing.probs_NE, routing.lse_N, logits_NE);
  pass.ops.sparsemixer_forward(routing.expert_ids_NK, routing.gates_NK, routing.kept_NW, logits_NE, jitter_,
                               pass.kind == PassKind::evaluate ? Tensor{} : sampler_2,
                               (pass.communicator.rank() - ranks) * tokens);
}

// Leaves the gradients of the gates in gates_NK. The probabilities receive no gradient here, since the output does not
// depend on them.
void SparsemixerPolicy::combine_backward(const Pass& pass, const Routing& routing, const Tensor& drows_RC,
                                         const Tensor& dprobs_NE, const Tensor& dy_NC, const Tensor& rows_RC) {
  Scratch::Frame frame(pass.scratch);
  const Tensor& gates = routing.gates_NK;
  const Tensor dgates_NK = frame.allocate(gates.dtype(), {gates.size(0), gates.size(1)});
  pass.ops.topk_combine_backward(drows_RC, dgates_NK, dy_NC, rows_RC, gates, routing.positions_NK);
  pass.ops.copy(gates, dgates_NK);
  pass.ops.zero(dprobs_NE);
}

void SparsemixerPolicy::route_backward(const Pass& pass, const Routing& routing, const Tensor& dlogits_NE,
                                       const Tensor& dprobs_NE) {
  RoutingPolicy::route_backward(pass, routing, dlogits_NE, dprobs_NE);
  pass.ops.sparsemixer_backward(dlogits_NE, routing.gates_NK, routing.expert_ids_NK, routing.kept_NW);
}

std::unique_ptr<RoutingPolicy> make_sparsemixer(const RouterSetup& setup, Fields& fields) {
  double jitter = 0.01;
  fields.optional("jitter", jitter, {.min = 0, .max = 1e9},
                  "An expert is drawn only if its logit is at most 2 * jitter below the largest logit, relative to the "
                  "larger magnitude of the two.");
  if (setup.norm_topk_prob)
    fields.fail("type", "\"sparsemixer\" needs model.norm_topk_prob = false: each gate has a softmax of its own");
  return std::make_unique<SparsemixerPolicy>(setup, jitter);
}

}  // namespace

Router sparsemixer_router() {
  return {
      .name = "sparsemixer",
      .sentence = "Experts drawn at random in training, with an estimate of the draw's gradient (arXiv 2409.12136).",
      .make = make_sparsemixer,
      .trials = {{.keys = R"({"jitter": 0.5})", .plain_gradient = false}}};
}

}  // namespace gptmoe
