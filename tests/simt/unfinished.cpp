// Ops without kernels yet: weak, so that the real one takes its place.
#include "base/check.h"
#include "kernels/cuda/cuda_ops.h"

namespace gptmoe::cuda {

__attribute__((weak)) void CudaOps::linear_forward(const Tensor&, const Tensor&, const Tensor&, Write) {
  throw BugError("no CUDA kernel yet: linear_forward");
}
__attribute__((weak)) void CudaOps::linear_backward_input(const Tensor&, const Tensor&, const Tensor&, Write) {
  throw BugError("no CUDA kernel yet: linear_backward_input");
}
__attribute__((weak)) void CudaOps::linear_backward_weight(const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: linear_backward_weight");
}
__attribute__((weak)) void CudaOps::attention_forward(const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: attention_forward");
}
__attribute__((weak)) void CudaOps::attention_backward(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                       const Tensor&) {
  throw BugError("no CUDA kernel yet: attention_backward");
}
__attribute__((weak)) void CudaOps::lm_head_loss(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                 const Tensor&, const Tensor&, double, const Tensor&) {
  throw BugError("no CUDA kernel yet: lm_head_loss");
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

}  // namespace gptmoe::cuda
