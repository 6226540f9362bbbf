// Ops without kernels yet: weak, so that the real one takes its place.
#include "base/check.h"
#include "kernels/cuda/cuda_ops.h"

namespace gptmoe::cuda {

__attribute__((weak)) void CudaOps::embedding_forward(const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: embedding_forward");
}
__attribute__((weak)) void CudaOps::embedding_backward(const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: embedding_backward");
}
__attribute__((weak)) void CudaOps::rmsnorm_forward(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                    double) {
  throw BugError("no CUDA kernel yet: rmsnorm_forward");
}
__attribute__((weak)) void CudaOps::rmsnorm_backward(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                     const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: rmsnorm_backward");
}
__attribute__((weak)) void CudaOps::qk_norm_forward(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                    const Tensor&, double) {
  throw BugError("no CUDA kernel yet: qk_norm_forward");
}
__attribute__((weak)) void CudaOps::qk_norm_backward(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                     const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: qk_norm_backward");
}
__attribute__((weak)) void CudaOps::layernorm_forward(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                      const Tensor&, const Tensor&, double) {
  throw BugError("no CUDA kernel yet: layernorm_forward");
}
__attribute__((weak)) void CudaOps::layernorm_backward(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                       const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: layernorm_backward");
}
__attribute__((weak)) void CudaOps::linear_forward(const Tensor&, const Tensor&, const Tensor&, Write) {
  throw BugError("no CUDA kernel yet: linear_forward");
}
__attribute__((weak)) void CudaOps::linear_backward_input(const Tensor&, const Tensor&, const Tensor&, Write) {
  throw BugError("no CUDA kernel yet: linear_backward_input");
}
__attribute__((weak)) void CudaOps::linear_backward_weight(const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: linear_backward_weight");
}
__attribute__((weak)) void CudaOps::rope_tables(const Tensor&, const Tensor&, double) {
  throw BugError("no CUDA kernel yet: rope_tables");
}
__attribute__((weak)) void CudaOps::rope_forward(const Tensor&, const Tensor&, const Tensor&, int64_t) {
  throw BugError("no CUDA kernel yet: rope_forward");
}
__attribute__((weak)) void CudaOps::rope_backward(const Tensor&, const Tensor&, const Tensor&, int64_t) {
  throw BugError("no CUDA kernel yet: rope_backward");
}
__attribute__((weak)) void CudaOps::lm_head_loss(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                 const Tensor&, const Tensor&, double, const Tensor&) {
  throw BugError("no CUDA kernel yet: lm_head_loss");
}
__attribute__((weak)) void CudaOps::router_softmax_forward(const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: router_softmax_forward");
}
__attribute__((weak)) void CudaOps::router_softmax_backward(const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: router_softmax_backward");
}
__attribute__((weak)) void CudaOps::topk_forward(const Tensor&, const Tensor&, const Tensor&, bool) {
  throw BugError("no CUDA kernel yet: topk_forward");
}
__attribute__((weak)) void CudaOps::topk_backward(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                  const Tensor&, bool) {
  throw BugError("no CUDA kernel yet: topk_backward");
}
__attribute__((weak)) void CudaOps::router_entropy(const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: router_entropy");
}
__attribute__((weak)) void CudaOps::sort_by_expert(const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: sort_by_expert");
}
__attribute__((weak)) void CudaOps::gather_rows_forward(const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: gather_rows_forward");
}
__attribute__((weak)) void CudaOps::gather_rows_backward(const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: gather_rows_backward");
}
__attribute__((weak)) void CudaOps::grouped_linear_forward(const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: grouped_linear_forward");
}
__attribute__((weak)) void CudaOps::grouped_linear_backward_input(const Tensor&, const Tensor&, const Tensor&,
                                                                  const Tensor&) {
  throw BugError("no CUDA kernel yet: grouped_linear_backward_input");
}
__attribute__((weak)) void CudaOps::grouped_linear_backward_weight(const Tensor&, const Tensor&, const Tensor&,
                                                                   const Tensor&) {
  throw BugError("no CUDA kernel yet: grouped_linear_backward_weight");
}
__attribute__((weak)) void CudaOps::topk_combine_forward(const Tensor&, const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: topk_combine_forward");
}
__attribute__((weak)) void CudaOps::topk_combine_backward(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                          const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: topk_combine_backward");
}
__attribute__((weak)) void CudaOps::default_combine_forward(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                            const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: default_combine_forward");
}
__attribute__((weak)) void CudaOps::default_combine_backward(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                             const Tensor&, const Tensor&, const Tensor&,
                                                             const Tensor&) {
  throw BugError("no CUDA kernel yet: default_combine_backward");
}
__attribute__((weak)) void CudaOps::default_clip_scale(const Tensor&, const Tensor&, double) {
  throw BugError("no CUDA kernel yet: default_clip_scale");
}
__attribute__((weak)) void CudaOps::default_accumulate(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                       const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: default_accumulate");
}
__attribute__((weak)) void CudaOps::default_commit(const Tensor&, const Tensor&, const Tensor&, double) {
  throw BugError("no CUDA kernel yet: default_commit");
}
__attribute__((weak)) void CudaOps::expert_fractions(const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: expert_fractions");
}
__attribute__((weak)) void CudaOps::load_balance_forward(const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: load_balance_forward");
}
__attribute__((weak)) void CudaOps::load_balance_backward(const Tensor&, const Tensor&, double) {
  throw BugError("no CUDA kernel yet: load_balance_backward");
}
__attribute__((weak)) void CudaOps::z_loss_forward(const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: z_loss_forward");
}
__attribute__((weak)) void CudaOps::z_loss_backward(const Tensor&, const Tensor&, const Tensor&, double) {
  throw BugError("no CUDA kernel yet: z_loss_backward");
}
__attribute__((weak)) void CudaOps::zero(const Tensor&) { throw BugError("no CUDA kernel yet: zero"); }
__attribute__((weak)) void CudaOps::copy(const Tensor&, const Tensor&) { throw BugError("no CUDA kernel yet: copy"); }
__attribute__((weak)) void CudaOps::accumulate_sum(const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: accumulate_sum");
}
__attribute__((weak)) void CudaOps::squared_norm(const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: squared_norm");
}
__attribute__((weak)) void CudaOps::clip_scale(const Tensor&, const Tensor&, double) {
  throw BugError("no CUDA kernel yet: clip_scale");
}
__attribute__((weak)) void CudaOps::adamw(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                          const AdamwStep&) {
  throw BugError("no CUDA kernel yet: adamw");
}
__attribute__((weak)) int64_t CudaOps::count_nonfinite(const Tensor&) {
  throw BugError("no CUDA kernel yet: count_nonfinite");
}

}  // namespace gptmoe::cuda
