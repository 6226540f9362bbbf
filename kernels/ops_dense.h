#pragma once
// Op contract, dense family: what any transformer needs. Conventions and letters: kernels/ops.h.
#include "base/tensor.h"

namespace gptmoe {

// Whether a matrix product overwrites its output or adds to it.
enum class Write { assign, add };

class DenseOps {
 public:
  virtual ~DenseOps() = default;

  // ---- Embedding: out[n] = table[tokens[n]].
  // out_NC =. tokens_N: i32 in [0, V).
  virtual void embedding_forward(const Tensor& out_NC, const Tensor& table_VC, const Tensor& tokens_N) = 0;
  // dtable_VC +=: rows of equal tokens are summed in token order.
  virtual void embedding_backward(const Tensor& dtable_VC, const Tensor& dout_NC, const Tensor& tokens_N) = 0;

  // ---- RMSNorm (Zhang & Sennrich 2019): y = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps).
  // y_NC =, rstd_N = (stat).
  virtual void rmsnorm_forward(const Tensor& y_NC, const Tensor& rstd_N, const Tensor& x_NC, const Tensor& weight_C,
                               double eps) = 0;
  // dx_NC += (the residual stream's gradient is already there), dweight_C +=.
  virtual void rmsnorm_backward(const Tensor& dx_NC, const Tensor& dweight_C, const Tensor& dy_NC, const Tensor& x_NC,
                                const Tensor& weight_C, const Tensor& rstd_N) = 0;

  // ---- LayerNorm (Ba et al. 2016): y = (x - mean) * rstd * weight + bias, variance over C without correction.
  // y_NC =, mean_N =, rstd_N = (stat).
  virtual void layernorm_forward(const Tensor& y_NC, const Tensor& mean_N, const Tensor& rstd_N, const Tensor& x_NC,
                                 const Tensor& weight_C, const Tensor& bias_C, double eps) = 0;
  // dx_NC +=, dweight_C +=, dbias_C +=.
  virtual void layernorm_backward(const Tensor& dx_NC, const Tensor& dweight_C, const Tensor& dbias_C,
                                  const Tensor& dy_NC, const Tensor& x_NC, const Tensor& weight_C, const Tensor& mean_N,
                                  const Tensor& rstd_N) = 0;

  // ---- Linear: y = x w^T.
  // y_NO = or +=; y may be in stat. All operands may be in stat.
  virtual void linear_forward(const Tensor& y_NO, const Tensor& x_NI, const Tensor& w_OI,
                              Write write = Write::assign) = 0;
  // dx_NI = or +=: dy w.
  virtual void linear_backward_input(const Tensor& dx_NI, const Tensor& dy_NO, const Tensor& w_OI,
                                     Write write = Write::assign) = 0;
  // dw_OI +=: dy^T x.
  virtual void linear_backward_weight(const Tensor& dw_OI, const Tensor& dy_NO, const Tensor& x_NI) = 0;

  // ---- Bias of a linear layer: y = x w^T + bias, as bias_forward() and then linear_forward() with Write::add. So what
  // is stored in bf16 is rounded once.
  // y_NO =: the bias in every row.
  virtual void bias_forward(const Tensor& y_NO, const Tensor& bias_O) = 0;
  // dbias_O +=: the sum of dy's rows.
  virtual void bias_backward(const Tensor& dbias_O, const Tensor& dy_NO) = 0;

  // ---- Residual: y = a + b; y may alias a or b. Its backward is the identity on both sides: callers share the buffer.
  virtual void residual_forward(const Tensor& y, const Tensor& a, const Tensor& b) = 0;

  // ---- QK-norm: RMSNorm over the whole query row (H*D values) and the whole key row (G*D) of packed projections, as
  // OLMoE does; values pass through.
  // y_BTSD =, rstd_N2 = (stat; query, key).
  virtual void qk_norm_forward(const Tensor& y_BTSD, const Tensor& rstd_N2, const Tensor& qkv_BTSD,
                               const Tensor& q_weight_HD, const Tensor& k_weight_GD, double eps) = 0;
  // dqkv_BTSD = (may alias dy_BTSD), dq_weight_HD +=, dk_weight_GD +=.
  virtual void qk_norm_backward(const Tensor& dqkv_BTSD, const Tensor& dq_weight_HD, const Tensor& dk_weight_GD,
                                const Tensor& dy_BTSD, const Tensor& qkv_BTSD, const Tensor& q_weight_HD,
                                const Tensor& k_weight_GD, const Tensor& rstd_N2) = 0;

  // ---- RoPE (Su et al. 2021), the half-split convention of Hugging Face: pairs (d, d + D/2), angle t * theta^(-2d/D).
  // cos_TP =, sin_TP = (stat), P = D/2.
  virtual void rope_tables(const Tensor& cos_TP, const Tensor& sin_TP, double theta) = 0;
  // qkv_BTSD in place: the first `rotated` heads of every token (queries and keys: H + G). T may be less than the
  // tables'; position 0 is the first token of each sequence.
  virtual void rope_forward(const Tensor& qkv_BTSD, const Tensor& cos_TP, const Tensor& sin_TP, int64_t rotated) = 0;
  // dqkv_BTSD in place: the inverse rotation.
  virtual void rope_backward(const Tensor& dqkv_BTSD, const Tensor& cos_TP, const Tensor& sin_TP, int64_t rotated) = 0;

  // ---- Causal grouped-query attention (Ainslie et al. 2023), blocked with an online softmax (FlashAttention-2, Dao
  // 2023): no T*T matrix is kept. Scale 1/sqrt(D); query head h reads key/value head h / (H/G).
  // out_BTHD =, lse_BHT = (stat): log-sum-exp of each query's scaled scores. H and G follow from out and qkv.
  virtual void attention_forward(const Tensor& out_BTHD, const Tensor& lse_BHT, const Tensor& qkv_BTSD) = 0;
  // dqkv_BTSD =.
  virtual void attention_backward(const Tensor& dqkv_BTSD, const Tensor& dout_BTHD, const Tensor& out_BTHD,
                                  const Tensor& lse_BHT, const Tensor& qkv_BTSD) = 0;

  // ---- SwiGLU (Shazeer 2020): a = silu(gate) * up, where a row of h is [gate (F), up (F)].
  // a_RF =.
  virtual void swiglu_forward(const Tensor& a_RF, const Tensor& h_R2F) = 0;
  // dh_R2F = (may alias h_R2F).
  virtual void swiglu_backward(const Tensor& dh_R2F, const Tensor& da_RF, const Tensor& h_R2F) = 0;

  // ---- GELU, tanh approximation (Hendrycks & Gimpel 2016).
  // a_RF =.
  virtual void gelu_forward(const Tensor& a_RF, const Tensor& h_RF) = 0;
  // dh_RF = (may alias h_RF).
  virtual void gelu_backward(const Tensor& dh_RF, const Tensor& da_RF, const Tensor& h_RF) = 0;

  // ---- LM head fused with cross-entropy, in chunks of rows so that never all N*V logits exist at once.
  //   losses[n] = logsumexp(x_n w^T) - (x_n w^T)[targets[n]], in nats
  // losses_N = (stat). With dx_NC present also the backward of loss_scale * sum(losses): dx_NC =, dw_VC +=.
  // logits_MV is scratch for M rows at a time, overwritten.
  virtual void lm_head_loss(const Tensor& losses_N, const Tensor& dx_NC, const Tensor& dw_VC, const Tensor& x_NC,
                            const Tensor& w_VC, const Tensor& targets_N, double loss_scale,
                            const Tensor& logits_MV) = 0;
};

}  // namespace gptmoe
