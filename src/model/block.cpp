#include "model/block.h"

namespace gptmoe {

TransformerBlock::TransformerBlock(const LayerSetup& setup, const RouterConfig& router, int64_t layer)
    : C_(setup.config.hidden_size),
      norm1_(setup, text("model.layers.", layer, ".input_layernorm")),
      attention_(setup, text("model.layers.", layer, ".self_attn.")),
      norm2_(setup, text("model.layers.", layer, ".post_attention_layernorm")) {
  const std::string prefix = text("model.layers.", layer, ".mlp.");
  if (setup.config.layer_is_moe(layer))
    moe_.emplace(setup, prefix, router);
  else
    mlp_.emplace(setup, prefix, setup.config.intermediate_size);
}

BlockSaved TransformerBlock::allocate(Arena& arena, const Ops& ops, int64_t B, int64_t T, const Tensor& stats_W) const {
  const int64_t N = B * T;
  BlockSaved saved;
  saved.norm1 = norm1_.allocate(arena, ops, N);
  saved.normed1_NC = arena.allocate(ops.compute_dtype(), {N, C_});
  saved.attention = attention_.allocate(arena, ops, B, T);
  saved.mid_NC = arena.allocate(ops.compute_dtype(), {N, C_});
  saved.norm2 = norm2_.allocate(arena, ops, N);
  saved.normed2_NC = arena.allocate(ops.compute_dtype(), {N, C_});
  if (moe_)
    saved.moe = moe_->allocate(arena, ops, N, stats_W);
  else
    saved.mlp = mlp_->allocate(arena, ops, N);
  return saved;
}

void TransformerBlock::forward(const Pass& pass, const BlockSaved& saved, const RopeTables& rope, const Tensor& out_NC,
                               const Tensor& x_NC) const {
  norm1_.forward(pass, saved.norm1, saved.normed1_NC, x_NC);
  attention_.forward(pass, saved.attention, rope, saved.mid_NC, saved.normed1_NC);
  pass.ops.residual_forward(saved.mid_NC, saved.mid_NC, x_NC);

  norm2_.forward(pass, saved.norm2, saved.normed2_NC, saved.mid_NC);
  if (moe_)
    moe_->forward(pass, saved.moe, out_NC, saved.normed2_NC);
  else
    mlp_->forward(pass, saved.mlp, out_NC, saved.normed2_NC, Write::assign);
  pass.ops.residual_forward(out_NC, out_NC, saved.mid_NC);
}

void TransformerBlock::backward(const Pass& pass, const BlockSaved& saved, const RopeTables& rope, const Tensor& dx_NC,
                                const Tensor& x_NC) const {
  Scratch::Frame frame(pass.scratch);
  const Tensor dnormed_NC = frame.allocate(pass.ops.compute_dtype(), {x_NC.size(0), C_});
  if (moe_)
    moe_->backward(pass, saved.moe, dnormed_NC, dx_NC, saved.normed2_NC);
  else
    mlp_->backward(pass, saved.mlp, dnormed_NC, dx_NC, saved.normed2_NC, Write::assign);
  norm2_.backward(pass, saved.norm2, dx_NC, dnormed_NC, saved.mid_NC);

  attention_.backward(pass, saved.attention, rope, dnormed_NC, dx_NC, saved.normed1_NC);
  norm1_.backward(pass, saved.norm1, dx_NC, dnormed_NC, x_NC);
}

}  // namespace gptmoe
