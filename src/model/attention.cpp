#include "model/attention.h"

namespace gptmoe {

Attention::Attention(const LayerSetup& setup, const std::string& prefix)
    : params_(setup.params),
      H_(setup.config.num_attention_heads),
      G_(setup.config.num_key_value_heads),
      D_(setup.config.head_dim),
      qk_norm_(setup.config.qk_norm),
      norms_heads_(setup.config.qk_norm_scope == "head"),
      bias_(setup.config.attention_bias),
      eps_(setup.config.rms_norm_eps) {
  const int64_t C = setup.config.hidden_size;
  const Init init = Init::normal(setup.init.weight);
  weights_.qkv_OC = setup.params.add_block({(H_ + 2 * G_) * D_, C}, {{prefix + "q_proj.weight", {H_ * D_, C}, init},
                                                                     {prefix + "k_proj.weight", {G_ * D_, C}, init},
                                                                     {prefix + "v_proj.weight", {G_ * D_, C}, init}});
  weights_.out_CQ =
      setup.params.add({prefix + "o_proj.weight", {C, H_ * D_}, Init::normal(setup.init.residual_writer)});
  if (bias_) {
    const Init zeros = Init::zeros();
    weights_.qkv_bias_O =
        setup.params.add_block({(H_ + 2 * G_) * D_}, {{prefix + "q_proj.bias", {H_ * D_}, zeros, false},
                                                      {prefix + "k_proj.bias", {G_ * D_}, zeros, false},
                                                      {prefix + "v_proj.bias", {G_ * D_}, zeros, false}});
    weights_.out_bias_C = setup.params.add({prefix + "o_proj.bias", {C}, zeros, false});
  }
  if (qk_norm_) {
    const int64_t q_heads = norms_heads_ ? 1 : H_, k_heads = norms_heads_ ? 1 : G_;
    weights_.q_norm = setup.params.add({prefix + "q_norm.weight", {q_heads * D_}, Init::ones(), false});
    weights_.k_norm = setup.params.add({prefix + "k_norm.weight", {k_heads * D_}, Init::ones(), false});
  }
}

AttentionSaved Attention::allocate(Arena& arena, const Ops& ops, int64_t B, int64_t T) const {
  const DType real = ops.compute_dtype(), stat = ops.statistics_dtype();
  const int64_t S = H_ + 2 * G_;
  AttentionSaved saved;
  if (qk_norm_) {
    saved.projected_BTSD = arena.allocate(real, {B, T, S, D_});
    saved.qk_rstd = arena.allocate(stat, {B * T, norms_heads_ ? H_ + G_ : 2});
  }
  saved.qkv_BTSD = arena.allocate(real, {B, T, S, D_});
  saved.lse_BHT = arena.allocate(stat, {B, H_, T});
  saved.out_BTHD = arena.allocate(real, {B, T, H_, D_});
  return saved;
}

Tensor Attention::allocate_cache(Arena& arena, const Ops& ops, int64_t B, int64_t X) const {
  return arena.allocate(ops.compute_dtype(), {B, X, 2 * G_, D_});
}

void Attention::project(const Pass& pass, const Tensor& y_NO, const Tensor& x_NI, ParamId weight, ParamId bias) const {
  if (bias_)
    pass.ops.linear_bias_forward(y_NO, x_NI, params_.value(weight), params_.value(bias));
  else
    pass.ops.linear_forward(y_NO, x_NI, params_.value(weight));
}

void Attention::project_backward(const Pass& pass, const Tensor& dy_NO, const Tensor& x_NI, ParamId weight,
                                 ParamId bias) const {
  if (bias_) pass.ops.bias_backward(params_.grad(bias), dy_NO);
  pass.ops.linear_backward_weight(params_.grad(weight), dy_NO, x_NI);
}

void Attention::forward(const Pass& pass, const AttentionSaved& saved, const RopeTables& rope, const Tensor& y_NC,
                        const Tensor& x_NC) const {
  const int64_t N = x_NC.size(0);
  const Tensor& projected = qk_norm_ ? saved.projected_BTSD : saved.qkv_BTSD;
  project(pass, projected.view({N, (H_ + 2 * G_) * D_}), x_NC, weights_.qkv_OC, weights_.qkv_bias_O);
  if (qk_norm_) normalise(pass, saved);
  const int64_t T = saved.qkv_BTSD.size(1);
  pass.ops.rope_forward(saved.qkv_BTSD, rope.cos_XP.rows(rope.first, T), rope.sin_XP.rows(rope.first, T), H_ + G_,
                        rope.starts_BT);
  attend(pass, saved, rope);
  project(pass, y_NC, saved.out_BTHD.view({N, H_ * D_}), weights_.out_CQ, weights_.out_bias_C);
}

void Attention::normalise(const Pass& pass, const AttentionSaved& saved) const {
  const Tensor &q_norm = params_.value(weights_.q_norm), &k_norm = params_.value(weights_.k_norm);
  if (norms_heads_)
    pass.ops.head_norm_forward(saved.qkv_BTSD, saved.qk_rstd, saved.projected_BTSD, q_norm, k_norm, eps_);
  else
    pass.ops.qk_norm_forward(saved.qkv_BTSD, saved.qk_rstd, saved.projected_BTSD, q_norm, k_norm, eps_);
}

void Attention::normalise_backward(const Pass& pass, const AttentionSaved& saved, const Tensor& dqkv_BTSD) const {
  const Tensor &q_norm = params_.value(weights_.q_norm), &k_norm = params_.value(weights_.k_norm);
  const Tensor &dq_norm = params_.grad(weights_.q_norm), &dk_norm = params_.grad(weights_.k_norm);
  if (norms_heads_)
    pass.ops.head_norm_backward(dqkv_BTSD, dq_norm, dk_norm, dqkv_BTSD, saved.projected_BTSD, q_norm, k_norm,
                                saved.qk_rstd);
  else
    pass.ops.qk_norm_backward(dqkv_BTSD, dq_norm, dk_norm, dqkv_BTSD, saved.projected_BTSD, q_norm, k_norm,
                              saved.qk_rstd);
}

void Attention::attend(const Pass& pass, const AttentionSaved& saved, const RopeTables& rope) const {
  if (saved.kv_BX2GD.present()) pass.ops.cache_keys_values(saved.kv_BX2GD, saved.qkv_BTSD, rope.first);
  if (rope.first > 0)
    pass.ops.cached_attention(saved.out_BTHD, saved.qkv_BTSD, saved.kv_BX2GD, rope.first);
  else
    pass.ops.attention_forward(saved.out_BTHD, saved.lse_BHT, saved.qkv_BTSD, rope.starts_BT);
}

void Attention::backward(const Pass& pass, const AttentionSaved& saved, const RopeTables& rope, const Tensor& dx_NC,
                         const Tensor& dy_NC, const Tensor& x_NC) const {
  const int64_t N = x_NC.size(0);
  const int64_t B = saved.qkv_BTSD.size(0), T = saved.qkv_BTSD.size(1);
  const DType real = pass.ops.compute_dtype();
  Scratch::Frame frame(pass.scratch);
  const Tensor dout_BTHD = frame.allocate(real, {B, T, H_, D_});
  const Tensor dqkv_BTSD = frame.allocate(real, {B, T, H_ + 2 * G_, D_});

  project_backward(pass, dy_NC, saved.out_BTHD.view({N, H_ * D_}), weights_.out_CQ, weights_.out_bias_C);
  pass.ops.linear_backward_input(dout_BTHD.view({N, H_ * D_}), dy_NC, params_.value(weights_.out_CQ));
  pass.ops.attention_backward(dqkv_BTSD, dout_BTHD, saved.out_BTHD, saved.lse_BHT, saved.qkv_BTSD, rope.starts_BT);
  pass.ops.rope_backward(dqkv_BTSD, rope.cos_XP, rope.sin_XP, H_ + G_, rope.starts_BT);
  if (qk_norm_) normalise_backward(pass, saved, dqkv_BTSD);
  const Tensor dqkv = dqkv_BTSD.view({N, (H_ + 2 * G_) * D_});
  project_backward(pass, dqkv, x_NC, weights_.qkv_OC, weights_.qkv_bias_O);
  pass.ops.linear_backward_input(dx_NC, dqkv, params_.value(weights_.qkv_OC));
}

}  // namespace gptmoe
