#pragma once
// The grouped ops (moe_ops.inc) in bf16 on Hopper's tensor cores. Results are as exact as those of the kernels for
// other GPUs, but not equal in every bit.
#include <cuda_runtime.h>

#include "base/tensor.h"

namespace gptmoe::cuda::hopper {

// Whether these kernels take tensors of this type with rows of these widths: bf16, and for the tensor copies widths
// that are multiples of 16 bytes and addresses that are, too.
template <typename... Tensors>
bool takes_grouped(DType dtype, int64_t O, int64_t I, const Tensors&... tensors) {
  return dtype == DType::bf16 && O % 8 == 0 && I % 8 == 0 &&
         (... && (reinterpret_cast<uintptr_t>(tensors.data()) % 16 == 0));
}

// Whether grouped_weights() has work for at least half of the multiprocessors. If not, the kernel that also splits
// experts' rows is faster.
inline bool fills_gpu(int64_t E, int64_t O, int64_t I, int multiprocessors) {
  constexpr int64_t kTile = 128;
  return 2 * E * ((O + kTile - 1) / kTile) * ((I + kTile - 1) / kTile) >= multiprocessors;
}

// Where a kernel runs. It has at most one block per multiprocessor.
struct Place {
  cudaStream_t stream;
  int multiprocessors;
};

// The ops of the same shapes. takes_grouped() is true of each op's two widths and of all its tensors but the offsets
// and slots.
void grouped_rows(const Place& place, const Tensor& y_RO, const Tensor& x, const Tensor& w_EOI,
                  const Tensor& offsets_E1, const Tensor& slots_R);
void grouped_rows_gradient(const Place& place, const Tensor& dx_RI, const Tensor& dy_RO, const Tensor& w_EOI,
                           const Tensor& offsets_E1);
void grouped_weights(const Place& place, const Tensor& dw_EOI, const Tensor& dy_RO, const Tensor& x,
                     const Tensor& offsets_E1, const Tensor& slots_R);
void grouped_swiglu_rows(const Place& place, const Tensor& a_RF, const Tensor& h_R2F, const Tensor& x,
                         const Tensor& w_E2FI, const Tensor& offsets_E1, const Tensor& slots_R);
void grouped_swiglu_gradient(const Place& place, const Tensor& dh_R2F, const Tensor& dy_RO, const Tensor& w_EOF,
                             const Tensor& h_R2F, const Tensor& offsets_E1);

}  // namespace gptmoe::cuda::hopper
