#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/matmul.h"

namespace gptmoe::cuda {

void CudaKernels::linear_forward(const Tensor& y_NO, const Tensor& x_NI, const Tensor& w_OI, Write write) {
  matmul_->run(Order::nt, y_NO, x_NI, w_OI, write);
}

void CudaKernels::linear_bias_forward(const Tensor& y_NO, const Tensor& x_NI, const Tensor& w_OI,
                                      const Tensor& bias_O) {
  matmul_->run(Order::nt, y_NO, x_NI, w_OI, Write::assign, bias_O);
}

void CudaKernels::linear_backward_input(const Tensor& dx_NI, const Tensor& dy_NO, const Tensor& w_OI, Write write) {
  matmul_->run(Order::nn, dx_NI, dy_NO, w_OI, write);
}

void CudaKernels::linear_backward_weight(const Tensor& dw_OI, const Tensor& dy_NO, const Tensor& x_NI) {
  matmul_->run(Order::tn, dw_OI, dy_NO, x_NI, Write::add);
}

}  // namespace gptmoe::cuda
