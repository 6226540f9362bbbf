#pragma once
// Ops that compute nothing and count. Running a step through PlanOps, over arenas that are not committed, tells what
// the step needs: the scratch high-water mark and the floating-point operations of every matrix product.
#include "kernels/ops.h"

namespace gptmoe {

class PlanOps final : public Ops {
 public:
  PlanOps(DType compute, DType statistics, int64_t logit_elements, int64_t workspace_bytes)
      : compute_(compute),
        statistics_(statistics),
        logit_elements_(logit_elements),
        workspace_bytes_(workspace_bytes) {}
  // Lays out what `ops` would.
  explicit PlanOps(const Ops& ops)
      : PlanOps(ops.compute_dtype(), ops.statistics_dtype(), ops.logit_elements(), ops.workspace_bytes()) {}

  // Multiply-adds count as two. Matrix products and attention only; causal attention counts its lower triangle, and
  // grouped products the share of their rows that is expected to be live.
  double flops() const { return flops_; }
  void expect_live(double share) { live_share_ = share; }
  void reset_flops() { flops_ = 0; }

  DType compute_dtype() const override { return compute_; }
  DType statistics_dtype() const override { return statistics_; }
  Memory& memory() override { return host_memory(); }
  void synchronize() override {}
  int64_t logit_elements() const override { return logit_elements_; }
  int64_t workspace_bytes() const override { return workspace_bytes_; }
  std::string describe() const override { return "plan"; }

  void linear_forward(const Tensor& y_NO, const Tensor& x_NI, const Tensor& w_OI, Write) override;
  void linear_backward_input(const Tensor& dx_NI, const Tensor& dy_NO, const Tensor& w_OI, Write) override;
  void linear_backward_weight(const Tensor& dw_OI, const Tensor& dy_NO, const Tensor& x_NI) override;
  void attention_forward(const Tensor& out_BTHD, const Tensor& lse_BHT, const Tensor& qkv_BTSD) override;
  void attention_backward(const Tensor& dqkv_BTSD, const Tensor& dout_BTHD, const Tensor& out_BTHD,
                          const Tensor& lse_BHT, const Tensor& qkv_BTSD) override;
  void lm_head_loss(const Tensor& losses_N, const Tensor& dx_NC, const Tensor& dw_VC, const Tensor& x_NC,
                    const Tensor& w_VC, const Tensor& targets_N, double loss_scale, const Tensor& logits_MV) override;
  void grouped_linear_forward(const Tensor& y_RO, const Tensor& x, const Tensor& w_EOI, const Tensor& offsets_E1,
                              const Tensor& slots_R) override;
  void grouped_linear_backward_input(const Tensor& dx_RI, const Tensor& dy_RO, const Tensor& w_EOI,
                                     const Tensor& offsets_E1) override;
  void grouped_linear_backward_weight(const Tensor& dw_EOI, const Tensor& dy_RO, const Tensor& x,
                                      const Tensor& offsets_E1, const Tensor& slots_R) override;
  void grouped_swiglu_forward(const Tensor& a_RF, const Tensor& h_R2F, const Tensor& x, const Tensor& w_E2FI,
                              const Tensor& offsets_E1, const Tensor& slots_R) override;
  void grouped_swiglu_backward(const Tensor& dh_R2F, const Tensor& dy_RO, const Tensor& w_EOF, const Tensor& h_R2F,
                               const Tensor& offsets_E1) override;

  void router_linear_forward(const Tensor& logits_NE, const Tensor& x_NC, const Tensor& w_EC) override;
  void router_linear_backward(const Tensor& dx_NC, const Tensor& dw_EC, const Tensor& dlogits_NE, const Tensor& x_NC,
                              const Tensor& w_EC, Write) override;

  // Memory-bound: nothing to count.
  using T = const Tensor&;
  void embedding_forward(T, T, T) override {}
  void embedding_backward(T, T, T) override {}
  void rmsnorm_forward(T, T, T, T, double) override {}
  void rmsnorm_backward(T, T, T, T, T, T) override {}
  void layernorm_forward(T, T, T, T, T, T, double) override {}
  void layernorm_backward(T, T, T, T, T, T, T, T) override {}
  void bias_forward(T, T) override {}
  void bias_backward(T, T) override {}
  void residual_forward(T, T, T) override {}
  void qk_norm_forward(T, T, T, T, T, double) override {}
  void qk_norm_backward(T, T, T, T, T, T, T, T) override {}
  void rope_tables(T, T, double) override {}
  void rope_forward(T, T, T, int64_t) override {}
  void rope_backward(T, T, T, int64_t) override {}
  void swiglu_forward(T, T) override {}
  void swiglu_backward(T, T, T) override {}
  void gelu_forward(T, T) override {}
  void gelu_backward(T, T, T) override {}
  void router_softmax_forward(T, T, T) override {}
  void router_softmax_backward(T, T, T) override {}
  void topk_forward(T, T, T, bool, T) override {}
  void topk_backward(T, T, T, T, T, bool) override {}
  void sort_by_expert(T, T, T, T) override {}
  void scatter_rows_add(T, T, T) override {}
  void topk_combine_forward(T, T, T, T) override {}
  void topk_combine_backward(T, T, T, T, T, T) override {}
  void default_combine_forward(T, T, T, T, T, T) override {}
  void default_combine_backward(T, T, T, T, T, T, T, T) override {}
  void default_clip_scale(T, T, double) override {}
  void default_accumulate(T, T, T, T, T, T, T, Divisor) override {}
  void default_commit(T, T, T, double, bool) override {}
  void sparsemixer_forward(T, T, T, T, double, T, int64_t) override {}
  void sparsemixer_backward(T, T, T, T) override {}
  void sampler_advance(T, int64_t) override {}
  void drop_choices(T, T, T, int64_t) override {}
  void sigmoid_router_forward(T, T) override {}
  void sigmoid_router_backward(T, T, T) override {}
  void mean_fractions(T, T, T) override {}
  void relu_router_forward(T, T, T) override {}
  void relu_router_backward(T, T, T) override {}
  void excess_accumulate(T, T, int64_t) override {}
  void l1_commit(T, T, double) override {}
  void expert_fractions(T, T, int64_t) override {}
  void load_balance_forward(T, T, T) override {}
  void load_balance_backward(T, T, double, T) override {}
  void load_accumulate(T, T) override {}
  void bias_commit(T, T, double) override {}
  void z_loss_forward(T, T) override {}
  void z_loss_backward(T, T, T, double) override {}
  void router_entropy(T, T, bool) override {}
  void zero(T) override {}
  void copy(T, T) override {}
  void cast(T, T) override {}
  void accumulate_sum(T, T) override {}
  void squared_norm(T, T) override {}
  void clip_scale(T, T, T, double) override {}
  void adamw(T, T, T, T, T, T, T, const AdamwConstants&) override {}
  int64_t count_nonfinite(T) override { return 0; }

 private:
  void product(double m, double n, double k) { flops_ += 2 * m * n * k; }
  void routed_product(double rows, double n, double k) { product(live_share_ * rows, n, k); }

  DType compute_, statistics_;
  int64_t logit_elements_, workspace_bytes_;
  double flops_ = 0, live_share_ = 1;
};

}  // namespace gptmoe
