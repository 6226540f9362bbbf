#pragma once
// The CUDA backend: kernels/ops.h over f32 or bf16 storage with f32 arithmetic, on one stream. Each family of methods
// is defined in the file its banner names. Nothing here allocates after construction, and but for synchronize() and
// count_nonfinite() nothing waits for the device.
#include <cuda_runtime.h>

#include "kernels/cuda_limits.h"
#include "kernels/ops.h"

namespace gptmoe::cuda {

class CudaMemory;
class Matmul;

class CudaOps final : public Ops {
 public:
  // compute: f32 or bf16; statistics are f32.
  CudaOps(DType compute, bool graphs);
  ~CudaOps() override;

  // cuda_ops.cpp
  cudaStream_t stream() const { return stream_; }
  DType compute_dtype() const override { return compute_; }
  DType statistics_dtype() const override { return DType::f32; }
  Memory& memory() override;
  void synchronize() override;
  std::unique_ptr<Recurring> make_recurring() override;
  int64_t logit_elements() const override { return kCudaLogitElements; }
  int64_t workspace_bytes() const override { return kWorkspaceBytes; }
  std::string describe() const override;

  // embedding.cu
  void embedding_forward(const Tensor& out_NC, const Tensor& table_VC, const Tensor& tokens_N) override;
  void embedding_backward(const Tensor& dtable_VC, const Tensor& dout_NC, const Tensor& tokens_N) override;

  // rmsnorm.cu
  void rmsnorm_forward(const Tensor& y_NC, const Tensor& rstd_N, const Tensor& x_NC, const Tensor& weight_C,
                       double eps) override;
  void rmsnorm_backward(const Tensor& dx_NC, const Tensor& dweight_C, const Tensor& dy_NC, const Tensor& x_NC,
                        const Tensor& weight_C, const Tensor& rstd_N) override;
  void qk_norm_forward(const Tensor& y_BTSD, const Tensor& rstd_N2, const Tensor& qkv_BTSD, const Tensor& q_weight_HD,
                       const Tensor& k_weight_GD, double eps) override;
  void qk_norm_backward(const Tensor& dqkv_BTSD, const Tensor& dq_weight_HD, const Tensor& dk_weight_GD,
                        const Tensor& dy_BTSD, const Tensor& qkv_BTSD, const Tensor& q_weight_HD,
                        const Tensor& k_weight_GD, const Tensor& rstd_N2) override;

  // layernorm.cu
  void layernorm_forward(const Tensor& y_NC, const Tensor& mean_N, const Tensor& rstd_N, const Tensor& x_NC,
                         const Tensor& weight_C, const Tensor& bias_C, double eps) override;
  void layernorm_backward(const Tensor& dx_NC, const Tensor& dweight_C, const Tensor& dbias_C, const Tensor& dy_NC,
                          const Tensor& x_NC, const Tensor& weight_C, const Tensor& mean_N,
                          const Tensor& rstd_N) override;

  // linear.cpp
  void linear_forward(const Tensor& y_NO, const Tensor& x_NI, const Tensor& w_OI, Write write) override;
  void linear_backward_input(const Tensor& dx_NI, const Tensor& dy_NO, const Tensor& w_OI, Write write) override;
  void linear_backward_weight(const Tensor& dw_OI, const Tensor& dy_NO, const Tensor& x_NI) override;

  // bias.cu
  void bias_forward(const Tensor& y_NO, const Tensor& bias_O) override;
  void bias_backward(const Tensor& dbias_O, const Tensor& dy_NO) override;

  // rope.cu
  void rope_tables(const Tensor& cos_TP, const Tensor& sin_TP, double theta) override;
  void rope_forward(const Tensor& qkv_BTSD, const Tensor& cos_TP, const Tensor& sin_TP, int64_t rotated) override;
  void rope_backward(const Tensor& dqkv_BTSD, const Tensor& cos_TP, const Tensor& sin_TP, int64_t rotated) override;

  // attention.cu
  void attention_forward(const Tensor& out_BTHD, const Tensor& lse_BHT, const Tensor& qkv_BTSD) override;
  void attention_backward(const Tensor& dqkv_BTSD, const Tensor& dout_BTHD, const Tensor& out_BTHD,
                          const Tensor& lse_BHT, const Tensor& qkv_BTSD) override;

  // activation.cu
  void residual_forward(const Tensor& y, const Tensor& a, const Tensor& b) override;
  void swiglu_forward(const Tensor& a_RF, const Tensor& h_R2F) override;
  void swiglu_backward(const Tensor& dh_R2F, const Tensor& da_RF, const Tensor& h_R2F) override;
  void gelu_forward(const Tensor& a_RF, const Tensor& h_RF) override;
  void gelu_backward(const Tensor& dh_RF, const Tensor& da_RF, const Tensor& h_RF) override;

  // lm_head.cu
  void lm_head_loss(const Tensor& losses_N, const Tensor& dx_NC, const Tensor& dw_VC, const Tensor& x_NC,
                    const Tensor& w_VC, const Tensor& targets_N, double loss_scale, const Tensor& logits_MV) override;

  // router_linear.cu
  void router_linear_forward(const Tensor& logits_NE, const Tensor& x_NC, const Tensor& w_EC) override;
  void router_linear_backward(const Tensor& dx_NC, const Tensor& dw_EC, const Tensor& dlogits_NE, const Tensor& x_NC,
                              const Tensor& w_EC, Write write) override;

  // router.cu
  void router_softmax_forward(const Tensor& probs_NE, const Tensor& lse_N, const Tensor& logits_NE) override;
  void router_softmax_backward(const Tensor& dlogits_NE, const Tensor& dprobs_NE, const Tensor& probs_NE) override;
  void topk_forward(const Tensor& expert_ids_NK, const Tensor& gates_NK, const Tensor& probs_NE, bool normalize,
                    const Tensor& bias_E) override;
  void topk_backward(const Tensor& dprobs_NE, const Tensor& dgates_NK, const Tensor& gates_NK,
                     const Tensor& expert_ids_NK, const Tensor& probs_NE, bool normalize) override;
  void router_entropy(const Tensor& entropy_1, const Tensor& probs_NE, bool normalize) override;

  // sparsemixer.cu
  void sparsemixer_forward(const Tensor& expert_ids_NK, const Tensor& gates_NK, const Tensor& shares_NKE,
                           const Tensor& logits_NE, double threshold, const Tensor& sampler_2, int64_t first) override;
  void sparsemixer_backward(const Tensor& dlogits_NE, const Tensor& dgates_NK, const Tensor& expert_ids_NK,
                            const Tensor& shares_NKE) override;
  void sampler_advance(const Tensor& sampler_2, int64_t by) override;

  // gates.cu
  void drop_choices(const Tensor& kept_ids_NK, const Tensor& gates_NK, const Tensor& expert_ids_NK,
                    int64_t live) override;
  void sigmoid_router_forward(const Tensor& probs_NE, const Tensor& logits_NE) override;
  void sigmoid_router_backward(const Tensor& dlogits_NE, const Tensor& dprobs_NE, const Tensor& probs_NE) override;

  // relu_router.cu
  void relu_router_forward(const Tensor& probs_NE, const Tensor& expert_ids_NE, const Tensor& logits_NE) override;
  void relu_router_backward(const Tensor& dlogits_NE, const Tensor& dprobs_NE, const Tensor& probs_NE) override;
  void excess_accumulate(const Tensor& excess_1, const Tensor& offsets_E1, int64_t target) override;
  void l1_commit(const Tensor& coefficient_1, const Tensor& excess_1, double factor) override;

  // permute.cu
  void sort_by_expert(const Tensor& offsets_E1, const Tensor& slots_R, const Tensor& positions_NK,
                      const Tensor& expert_ids_NK) override;
  void scatter_rows_add(const Tensor& y_NC, const Tensor& rows_RC, const Tensor& positions_NK) override;

  // grouped_linear.cu
  void grouped_linear_forward(const Tensor& y_RO, const Tensor& x, const Tensor& w_EOI, const Tensor& offsets_E1,
                              const Tensor& slots_R) override;
  void grouped_linear_backward_input(const Tensor& dx_RI, const Tensor& dy_RO, const Tensor& w_EOI,
                                     const Tensor& offsets_E1) override;
  void grouped_linear_backward_weight(const Tensor& dw_EOI, const Tensor& dy_RO, const Tensor& x,
                                      const Tensor& offsets_E1, const Tensor& slots_R) override;

  // grouped_swiglu.cu
  void grouped_swiglu_forward(const Tensor& a_RF, const Tensor& h_R2F, const Tensor& x, const Tensor& w_E2FI,
                              const Tensor& offsets_E1, const Tensor& slots_R) override;
  void grouped_swiglu_backward(const Tensor& dh_R2F, const Tensor& dy_RO, const Tensor& w_EOF, const Tensor& h_R2F,
                               const Tensor& offsets_E1) override;

  // combine.cu
  void topk_combine_forward(const Tensor& y_NC, const Tensor& rows_RC, const Tensor& gates_NK,
                            const Tensor& positions_NK) override;
  void topk_combine_backward(const Tensor& drows_RC, const Tensor& dgates_NK, const Tensor& dy_NC,
                             const Tensor& rows_RC, const Tensor& gates_NK, const Tensor& positions_NK) override;
  void default_combine_forward(const Tensor& y_NC, const Tensor& rows_RC, const Tensor& probs_NE,
                               const Tensor& expert_ids_NK, const Tensor& positions_NK,
                               const Tensor& default_EC) override;
  void default_combine_backward(const Tensor& drows_RC, const Tensor& dprobs_NE, const Tensor& dy_NC,
                                const Tensor& rows_RC, const Tensor& probs_NE, const Tensor& expert_ids_NK,
                                const Tensor& positions_NK, const Tensor& default_EC) override;

  // default_vectors.cu
  void default_clip_scale(const Tensor& row_scale_R, const Tensor& rows_RC, double clip) override;
  void default_accumulate(const Tensor& sums_EC, const Tensor& divisors_E, const Tensor& rows_RC,
                          const Tensor& gates_NK, const Tensor& slots_R, const Tensor& offsets_E1,
                          const Tensor& row_scale_R, Divisor divisor) override;
  void default_commit(const Tensor& default_EC, const Tensor& sums_EC, const Tensor& divisors_E, double beta,
                      bool decay_unseen) override;

  // balance.cu
  void expert_fractions(const Tensor& fractions_E, const Tensor& offsets_E1, int64_t rows) override;
  void mean_fractions(const Tensor& mean_E, const Tensor& sums_E1, const Tensor& fractions_E) override;
  void load_balance_forward(const Tensor& loss_1, const Tensor& probs_NE, const Tensor& fractions_E) override;
  void load_balance_backward(const Tensor& dprobs_NE, const Tensor& fractions_E, double scale,
                             const Tensor& coefficient_1) override;
  void load_accumulate(const Tensor& loads_E, const Tensor& offsets_E1) override;
  void bias_commit(const Tensor& bias_E, const Tensor& loads_E, double rate) override;
  void z_loss_forward(const Tensor& loss_1, const Tensor& lse_N) override;
  void z_loss_backward(const Tensor& dlogits_NE, const Tensor& probs_NE, const Tensor& lse_N, double scale) override;

  // optim.cu
  void zero(const Tensor& x) override;
  void copy(const Tensor& out, const Tensor& x) override;
  void cast(const Tensor& out, const Tensor& x) override;
  void accumulate_sum(const Tensor& sum_1, const Tensor& x) override;
  void squared_norm(const Tensor& sum_1, const Tensor& x) override;
  void clip_scale(const Tensor& scale_1, const Tensor& squared_norm_1, const Tensor& loss_1, double max_norm) override;
  void adamw(const Tensor& param, const Tensor& master, const Tensor& m, const Tensor& v, const Tensor& grad,
             const Tensor& scale_1, const Tensor& rates_3, const AdamwConstants& constants) override;
  int64_t count_nonfinite(const Tensor& x) override;

 private:
  // Workspace for the partial sums of two-stage reductions: `rows` rows of `width` floats, valid until the next op.
  // As many rows as are worth having on this device, at most `most`.
  struct Partials {
    float* data;
    int64_t rows;
  };
  Partials partials(int64_t width, int64_t most);

  DType compute_;
  bool graphs_;
  cudaStream_t stream_ = nullptr;
  int multiprocessors_ = 0;
  float* workspace_ = nullptr;
  std::unique_ptr<CudaMemory> memory_;
  std::unique_ptr<Matmul> matmul_;
};

}  // namespace gptmoe::cuda
