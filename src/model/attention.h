#pragma once
#include "memory/pass.h"
#include "model/layer_setup.h"
#include "model/tensors.h"

namespace gptmoe {

// Causal grouped-query self-attention: packed projection, optional QK-norm, RoPE, attention, output projection. The
// projections may have biases.
class Attention {
 public:
  // Parameters PREFIXq_proj.weight (H*D, C), k_proj, v_proj (G*D, C), o_proj (C, H*D), their biases with
  // attention_bias, and with QK-norm q_norm (H*D) and k_norm (G*D), or (D) each if it is per head.
  Attention(const LayerSetup& setup, const std::string& prefix);

  AttentionSaved allocate(Arena& arena, const Ops& ops, int64_t B, int64_t T) const;
  // Memory for the keys and values of B texts of up to X tokens: kv_BX2GD.
  Tensor allocate_cache(Arena& arena, const Ops& ops, int64_t B, int64_t X) const;
  // Writes y_NC (=).
  void forward(const Pass& pass, const AttentionSaved& saved, const RopeTables& rope, const Tensor& y_NC,
               const Tensor& x_NC) const;
  // Writes dx_NC (=) and adds to the parameters' gradients (+=).
  void backward(const Pass& pass, const AttentionSaved& saved, const RopeTables& rope, const Tensor& dx_NC,
                const Tensor& dy_NC, const Tensor& x_NC) const;

 private:
  // Writes qkv_BTSD (=) from projected_BTSD.
  void normalise(const Pass& pass, const AttentionSaved& saved) const;
  // dqkv_BTSD becomes the gradient of projected_BTSD. Adds to the gradients of the norms' weights (+=).
  void normalise_backward(const Pass& pass, const AttentionSaved& saved, const Tensor& dqkv_BTSD) const;
  // Writes out_BTHD (=), and adds to the cache if there is one.
  void attend(const Pass& pass, const AttentionSaved& saved, const RopeTables& rope) const;
  // y_NO = x w^T, plus the bias if there is one.
  void project(const Pass& pass, const Tensor& y_NO, const Tensor& x_NI, ParamId weight, ParamId bias) const;
  // Adds dy's contribution to the gradients of weight and bias.
  void project_backward(const Pass& pass, const Tensor& dy_NO, const Tensor& x_NI, ParamId weight, ParamId bias) const;

  const ParamTable& params_;
  int64_t H_, G_, D_;
  bool qk_norm_, norms_heads_, bias_;
  double eps_;
  AttentionWeights weights_;
};

}  // namespace gptmoe
