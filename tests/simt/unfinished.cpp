// Ops without kernels yet: weak, so that the real one takes its place.
#include "base/check.h"
#include "kernels/cuda/cuda_ops.h"

namespace gptmoe::cuda {

__attribute__((weak)) void CudaOps::attention_forward(const Tensor&, const Tensor&, const Tensor&) {
  throw BugError("no CUDA kernel yet: attention_forward");
}
__attribute__((weak)) void CudaOps::attention_backward(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                                       const Tensor&) {
  throw BugError("no CUDA kernel yet: attention_backward");
}

}  // namespace gptmoe::cuda
