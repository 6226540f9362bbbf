#pragma once
// How tokens choose experts and how the experts' outputs become the layer's output. There is one policy object per MoE
// layer; it owns its JSON block and its state. A new router is one file that implements this class and one line in
// router_table.cpp.
//
// In a training micro-batch MoeLayer calls, in this order:
//   forward:  route -> (sort, experts) -> observe -> combine
//   backward: combine_backward -> (experts) -> route_backward
// The training step calls end_step once after the optimizer. Recomputation repeats route and combine without observe;
// evaluation calls route, combine and fill_norms.
//
// A slot is one of the K choices of a token. It may be dead, that is, have no expert; the others are live.
// kernels/moe_ops.inc defines slots, sorted rows and positions; "stat" is the dtype of Ops::statistics_dtype().
#include <optional>
#include <string>

#include "memory/pass.h"
#include "memory/state_table.h"

namespace gptmoe {

// The routing of one micro-batch in one layer, kept for the rest of the forward pass and for the backward pass.
struct Routing {
  Tensor probs_NE = {};         // stat
  Tensor lse_N = {};            // stat
  Tensor expert_ids_NK = {};    // i32
  Tensor gates_NK = {};         // stat
  Tensor offsets_E1 = {};       // i64
  Tensor slots_R = {};          // i32
  Tensor positions_NK = {};     // i32
  Tensor load_offsets_E1 = {};  // i64: like offsets_E1, but for chosen slots only; gives the loads
  // Each expert's chosen slots on all ranks, divided by the expected number of chosen slots of all experts on all
  // ranks, which is N * chosen_per_token() * ranks.
  Tensor fractions_E = {};          // stat
  Tensor balance_fractions_E = {};  // stat: fractions for the balance loss, over the tokens of model.balance_scope
  Tensor fill_norms_2 = {};         // stat: written by fill_norms()
  Tensor kept_NW = {};              // stat: private to the policy, W = kept_per_token(); absent if W is 0
};

// What a policy is built from.
struct RouterSetup {
  int64_t num_experts;          // E
  int64_t num_experts_per_tok;  // K as configured
  int64_t hidden_size;          // C
  bool norm_topk_prob;
  double aux_scale;     // coefficient of this layer's load-balancing loss
  double z_loss_scale;  // coefficient of this layer's z-loss
  int64_t moe_layers = 1;
};

// A moving average that a policy keeps of what it observes.
struct MovingAverage {
  const char* name;    // what is averaged, as shown to users
  double moves;        // the number of latest updates that the average covers
  bool once_per_step;  // one update per step over the step's tokens; else one per micro-batch, over all ranks
};

class RoutingPolicy {
 public:
  explicit RoutingPolicy(const RouterSetup& setup) : setup_(setup) {}
  virtual ~RoutingPolicy() = default;

  // K, the number of slots per token.
  virtual int64_t experts_per_token() const { return setup_.num_experts_per_tok; }
  // How many of these slots should be live on average. FLOPs are computed from this number.
  virtual int64_t live_experts_per_token() const { return experts_per_token(); }
  // How many experts the router chooses for a token. Fewer than the live slots if unchosen experts are computed too
  // (dense_gradient_policy.cpp). Loads and active parameters are computed from this number.
  virtual int64_t chosen_per_token() const { return live_experts_per_token(); }
  // Whether route() writes load_offsets_E1. If not, load_offsets_E1 is the same tensor as offsets_E1.
  virtual bool counts_loads_apart() const { return false; }
  // Whether a token's probabilities sum to 1. If not, they are divided by their sum before the entropy is computed.
  virtual bool probs_sum_to_one() const { return true; }

  // The moving average that the policy keeps; nullopt if there is none, or if its value never changes.
  virtual std::optional<MovingAverage> moving_average() const { return std::nullopt; }

  // Values per token that route() leaves in kept_NW for the backward pass.
  virtual int64_t kept_per_token() const { return 0; }

  // Adds the layer's rows to `state`. The rows' names start with `prefix` ("model.layers.3.mlp."), and their dtype is
  // `stat`. The functions below read the rows in `state`, which must outlive the policy. Before this call, only the
  // functions above may be called.
  void declare_state(StateTable& state, const std::string& prefix, DType stat) {
    state_ = &state;
    add_state(state, prefix, stat);
  }
  // Fills freshly zeroed state at the start of a run.
  virtual void initialize_state(Memory& /*memory*/, uint64_t /*seed*/) {}

  // Writes probs, expert_ids, gates and kept (=), and also lse if there may be a z-loss. The default implementation
  // takes the softmax over all experts, then the K largest.
  virtual void route(const Pass& pass, const Routing& routing, const Tensor& logits_NE);
  // Learns from the experts' outputs rows_RC of a training micro-batch.
  virtual void observe(const Pass& /*pass*/, const Routing& /*routing*/, const Tensor& /*rows_RC*/) {}
  // Writes y_NC (=). By default each token's row is the sum of its rows_RC, each times its gate.
  virtual void combine(const Pass& pass, const Routing& routing, const Tensor& y_NC, const Tensor& rows_RC);
  // fill_norms_2 = two squared norms over all tokens: first the norm of what replaces the experts that a token did not
  // choose, then the norm of the output y_NC. Policies without a replacement do not write fill_norms_2. Only evaluation
  // calls this function.
  virtual void fill_norms(const Pass& /*pass*/, const Routing& /*routing*/, const Tensor& /*y_NC*/) {}
  // Writes drows_RC and dprobs_NE (=). May overwrite gates and kept with what route_backward() needs.
  virtual void combine_backward(const Pass& pass, const Routing& routing, const Tensor& drows_RC,
                                const Tensor& dprobs_NE, const Tensor& dy_NC, const Tensor& rows_RC) = 0;
  // dlogits_NE = the gradient from dprobs_NE through the softmax, plus the gradients of the balance and z losses.
  // Consumes dprobs_NE.
  virtual void route_backward(const Pass& pass, const Routing& routing, const Tensor& dlogits_NE,
                              const Tensor& dprobs_NE);
  // Called once per optimizer step, after the weights are updated.
  virtual void end_step(const Pass& /*pass*/) {}

 protected:
  // What declare_state() adds.
  virtual void add_state(StateTable& /*state*/, const std::string& /*prefix*/, DType /*stat*/) {}
  const StateRow& state_row(StateId id) const { return state_->row(id); }
  const Tensor& value(StateId id) const { return state_->value(id); }

  RouterSetup setup_;

 private:
  const StateTable* state_ = nullptr;
};

// Allocates the tensors for routing N tokens to E experts; `stat` is the dtype of the tensors marked stat above. Does
// not allocate fractions, balance_fractions and fill_norms, which are parts of the run's statistics
// (MoeLayer::allocate()).
Routing allocate_routing(Arena& arena, const RoutingPolicy& policy, int64_t N, int64_t E, DType stat);

}  // namespace gptmoe
