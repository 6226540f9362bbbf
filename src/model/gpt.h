#pragma once
// The whole model: embedding, blocks, final norm, LM head. Gpt holds the structure and the tables of parameters and
// state. Memory comes from outside, so the same object can be used to plan, train, evaluate or generate text.
#include <deque>
#include <vector>

#include "model/block.h"

namespace gptmoe {

class Gpt {
 public:
  // `real` and `stat` are the compute and statistics dtypes of Ops. Parameters are laid out so that `ranks` ranks can
  // share an optimizer. `document_end` is the id of the token after which attention and positions restart; -1 means
  // that they never restart. Throws UserError if the router's block is wrong.
  Gpt(const ModelConfig& config, const RouterConfig& router, DType real, DType stat, int ranks = 1,
      int64_t document_end = -1);
  Gpt(const Gpt&) = delete;
  Gpt& operator=(const Gpt&) = delete;

  ParamTable& params() { return params_; }
  const ParamTable& params() const { return params_; }
  StateTable& state() { return state_; }
  const StateTable& state() const { return state_; }
  const ModelConfig& config() const { return config_; }
  int64_t document_end() const { return document_end_; }

  // Parameters that a token uses: all except the experts that the token is not routed to. The embedding counts.
  int64_t active_parameter_count() const;
  // The share of the R sorted rows that should be live (kernels/moe_ops.inc); 1 without MoE layers.
  double live_share() const;

  Activations allocate(Arena& arena, const Ops& ops, int64_t B, int64_t T, ActivationMode mode) const;
  // A cache for B texts of up to X tokens.
  KeyValueCache allocate_cache(Arena& arena, const Ops& ops, int64_t B, int64_t X) const;
  // Fills the RoPE tables. Call it once, after the arena is committed.
  void prepare(Ops& ops, const RopeTables& rope) const;
  // Initialises the parameters and router state of a new run, in `memory`.
  void initialize(Memory& memory, uint64_t seed);

  // Computes final_NC from the tokens.
  void forward(const Pass& pass, const Activations& a) const;
  // Computes losses_N and, if present, lse_N (=) from final_NC and the targets.
  void loss(const Pass& pass, const Activations& a) const;
  // Does what loss() does, and computes z_loss_1 (=) if present. Then runs the backward of loss_scale * sum(losses +
  // output_z_loss_coef * lse^2) + pass.share * (balance and z losses of the routers), and adds to the gradients (+=).
  void loss_and_backward(const Pass& pass, const Activations& a, double loss_scale) const;
  // Writes logits_MV (=; (count, V), real or stat): the logits of rows [first, first + count) of final_NC, capped if
  // the model caps them.
  void logits(const Pass& pass, const Activations& a, const Tensor& logits_MV, int64_t first, int64_t count) const;
  // Called once per optimizer step, after the weights are updated, for routers that learn per step.
  void end_step(const Pass& pass) const;

 private:
  RopeTables allocate_rope(Arena& arena, DType stat, int64_t X) const;
  void backward(const Pass& pass, const Activations& a) const;
  void await_weights(const Pass& pass, int bucket) const;
  void gradients_complete(const Pass& pass, int bucket) const;
  // Buckets of the parameters: the embedding, each layer, then the final norm and the head.
  static constexpr int kEmbeddingBucket = 0;
  static int layer_bucket(size_t layer) { return static_cast<int>(layer) + 1; }
  int last_bucket() const { return layer_bucket(blocks_.size()); }

  ModelConfig config_;
  int64_t document_end_;
  ParamTable params_;
  StateTable state_;
  GptWeights weights_;
  std::deque<TransformerBlock> blocks_;
  std::optional<Norm> final_norm_;
};

}  // namespace gptmoe
