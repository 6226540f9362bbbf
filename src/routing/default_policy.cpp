#include "memory/init.h"
#include "routing/router_table.h"

namespace gptmoe {
namespace {

// Default MoE (Panda et al., arXiv 2504.12463). Experts that a token did not choose contribute their default vector,
// the moving average of their outputs, so that every router logit of every token receives a gradient:
//   y_n = sum_{i chosen} p_i E_i(x_n) + sum_{i not chosen} p_i D_i,   D_i <- beta D_i + (1 - beta) mean_i
// No gradient flows into D. The paper leaves two questions open: what mean_i is (Weighting), and what happens to the
// vector of an expert that saw no token (decay_unseen). State per layer: default_vectors (E, C), and the sums that are
// pending when D moves once per step.
class DefaultPolicy final : public RoutingPolicy {
 public:
  // mean_i, over the c tokens routed to expert i.
  enum class Weighting {
    score,             // sum p_i E_i / c
    score_normalized,  // sum p_i E_i / sum p_i
    uniform,           // sum E_i / c
  };
  struct Options {
    double beta = 0.9;                       // "ema_beta"
    Weighting weighting = Weighting::score;  // "ema_weighting"
    bool decay_unseen = false;               // "ema_unseen": "keep" | "decay" (as if mean_i were 0)
    bool update_in_forward = true;           // "ema_update": "forward" (each micro-batch, before use) | "step" (once)
    bool normal_init = false;                // "ema_init": "zeros" | "normal" (standard normal)
    bool in_forward = true;                  // "default_forward": false = D enters the router's backward only
    double clip = 0;  // "ema_clip": rows longer than clip * the median norm enter mean_i scaled down; 0 = off
  };

  DefaultPolicy(const RouterSetup& setup, const Options& options) : RoutingPolicy(setup), options_(options) {}

  std::optional<MovingAverage> moving_average() const override {
    if (options_.beta == 1) return std::nullopt;
    return MovingAverage{"default vectors", 1 / (1 - options_.beta), !options_.update_in_forward};
  }
  void add_state(StateTable& state, const std::string& prefix, DType stat) override;
  void initialize_state(Memory& memory, uint64_t seed) override;
  void observe(const Pass& pass, const Routing& routing, const Tensor& rows_RC) override;
  void combine(const Pass& pass, const Routing& routing, const Tensor& y_NC, const Tensor& rows_RC) override;
  void combine_backward(const Pass& pass, const Routing& routing, const Tensor& drows_RC, const Tensor& dprobs_NE,
                        const Tensor& dy_NC, const Tensor& rows_RC) override;
  void fill_norms(const Pass& pass, const Routing& routing, const Tensor& y_NC) override;
  void end_step(const Pass& pass) override;

 private:
  void commit(const Pass& pass);

  Options options_;
  // The pending sums and their divisors are contiguous, so one collective reduces both.
  Tensor sums_EC() const { return value(pending_).rows(0, sum_count()).view({setup_.num_experts, setup_.hidden_size}); }
  Tensor divisors_E() const { return value(pending_).rows(sum_count(), setup_.num_experts); }
  int64_t sum_count() const { return setup_.num_experts * setup_.hidden_size; }

  StateId default_EC_, pending_;
};

void DefaultPolicy::add_state(StateTable& state, const std::string& prefix, DType stat) {
  default_EC_ = state.add(prefix + "default_vectors", stat, {setup_.num_experts, setup_.hidden_size});
  pending_ = state.add(prefix + "default_vectors.pending", stat, {sum_count() + setup_.num_experts}, false);
}

void DefaultPolicy::initialize_state(Memory& memory, uint64_t seed) {
  if (!options_.normal_init) return;
  const StateRow& row = state_row(default_EC_);
  const int64_t count = row.value.count();
  initialize_row(memory, {{row.value.view({count})}}, count, Init::normal(1.0), seed, row.name);
}

void DefaultPolicy::observe(const Pass& pass, const Routing& routing, const Tensor& rows_RC) {
  Scratch::Frame frame(pass.scratch);
  Tensor row_scale_R;
  if (options_.clip > 0) {
    row_scale_R = frame.allocate(routing.gates_NK.dtype(), {rows_RC.size(0)});
    pass.ops.default_clip_scale(row_scale_R, rows_RC, options_.clip);
  }
  const Weighting weighting = options_.weighting;
  pass.ops.default_accumulate(
      sums_EC(), divisors_E(), rows_RC, weighting == Weighting::uniform ? Tensor{} : routing.gates_NK, routing.slots_R,
      routing.offsets_E1, row_scale_R, weighting == Weighting::score_normalized ? Divisor::gates : Divisor::rows);
  if (options_.update_in_forward) commit(pass);
}

void DefaultPolicy::end_step(const Pass& pass) {
  if (!options_.update_in_forward) commit(pass);
}

void DefaultPolicy::commit(const Pass& pass) {
  pass.communicator.all_reduce(value(pending_), Traffic::default_vectors);
  pass.ops.default_commit(value(default_EC_), sums_EC(), divisors_E(), options_.beta, options_.decay_unseen);
}

void DefaultPolicy::combine(const Pass& pass, const Routing& routing, const Tensor& y_NC, const Tensor& rows_RC) {
  if (options_.in_forward)
    pass.ops.default_combine_forward(y_NC, rows_RC, routing.probs_NE, routing.expert_ids_NK, routing.positions_NK,
                                     value(default_EC_));
  else
    pass.ops.topk_combine_forward(y_NC, rows_RC, routing.gates_NK, routing.positions_NK);
}

// Combines rows that are all zero: the result is what the default vectors contribute.
void DefaultPolicy::fill_norms(const Pass& pass, const Routing& routing, const Tensor& y_NC) {
  if (!options_.in_forward) return;
  Scratch::Frame frame(pass.scratch);
  const Tensor zeros_RC = frame.allocate(y_NC.dtype(), {routing.slots_R.size(0), setup_.hidden_size});
  const Tensor fill_NC = frame.allocate(y_NC.dtype(), {y_NC.size(0), setup_.hidden_size});
  pass.ops.zero(zeros_RC);
  pass.ops.default_combine_forward(fill_NC, zeros_RC, routing.probs_NE, routing.expert_ids_NK, routing.positions_NK,
                                   value(default_EC_));
  pass.ops.squared_norm(routing.fill_norms_2.rows(0, 1), fill_NC);
  pass.ops.squared_norm(routing.fill_norms_2.rows(1, 1), y_NC);
}

void DefaultPolicy::combine_backward(const Pass& pass, const Routing& routing, const Tensor& drows_RC,
                                     const Tensor& dprobs_NE, const Tensor& dy_NC, const Tensor& rows_RC) {
  pass.ops.default_combine_backward(drows_RC, dprobs_NE, dy_NC, rows_RC, routing.probs_NE, routing.expert_ids_NK,
                                    routing.positions_NK, value(default_EC_));
}

// Visits a key with two words as values: `otherwise`, the default, and `then`. Returns whether the value is `then`.
bool visit_switch(Fields& fields, const char* key, const char* otherwise, const char* then, const char* sentence) {
  std::string word = otherwise;
  fields.optional(key, word, {otherwise, then}, sentence);
  return word == then;
}

DefaultPolicy::Weighting visit_weighting(Fields& fields) {
  using Weighting = DefaultPolicy::Weighting;
  fields.former("ema_weighting", "router_score",
                "\"router_score\" is now called \"score_normalized\" (sum of p E over sum of p); \"score\" is the mean "
                "of p E");
  std::string name = "score";
  fields.optional(
      "ema_weighting", name, {"score", "score_normalized", "uniform"},
      "How an expert's outputs y are averaged over its tokens, with scores p: mean of p·y, (sum of p·y) / (sum of p), "
      "or mean of y.");
  return name == "score" ? Weighting::score : name == "uniform" ? Weighting::uniform : Weighting::score_normalized;
}

std::unique_ptr<RoutingPolicy> make_default(const RouterSetup& setup, Fields& fields) {
  DefaultPolicy::Options options;
  fields.optional("ema_beta", options.beta, {.min = 0, .max = 1}, "Decay of the default vectors' moving average.");
  options.weighting = visit_weighting(fields);
  options.decay_unseen = visit_switch(fields, "ema_unseen", "keep", "decay",
                                      "Whether the vector of an expert that saw no token stays or decays.");
  options.update_in_forward =
      !visit_switch(fields, "ema_update", "forward", "step",
                    "When the vectors move: \"forward\": in each forward pass, before it uses them; \"step\": once "
                    "per step.");
  options.normal_init = visit_switch(fields, "ema_init", "zeros", "normal", "Initial values of the vectors.");
  fields.optional("default_forward", options.in_forward,
                  "Whether the vectors enter the output; if not, they enter the router's gradient only.");
  fields.optional(
      "ema_clip", options.clip, {.min = 0, .max = 1e9},
      "Limit on the norm of an output that enters the average, as a multiple of the layer's median norm; longer "
      "outputs are scaled down to it. 0: no limit.");
  if (setup.norm_topk_prob)
    fields.fail("type",
                "\"default\" needs model.norm_topk_prob = false: default vectors fill in for the probability "
                "that the chosen experts leave");
  return std::make_unique<DefaultPolicy>(setup, options);
}

}  // namespace

Router default_router() {
  return {.name = "default",
          .sentence = "Default MoE: experts that were not chosen contribute their default vector (arXiv 2504.12463).",
          .make = make_default,
          .trials = {{.keys = R"({"ema_init": "normal"})", .cut_freely = false},
                     {.name = "step", .keys = R"({"ema_update": "step"})"},
                     {.name = "uniform", .keys = R"({"ema_update": "step", "ema_weighting": "uniform"})"},
                     {.name = "decay",
                      .keys = R"({"ema_weighting": "score_normalized", "ema_unseen": "decay"})",
                      .cut_freely = false}}};
}

}  // namespace gptmoe
