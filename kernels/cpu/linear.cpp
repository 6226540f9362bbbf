#include <algorithm>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/parallel_blocks.h"
#include "kernels/cpu/reduce.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

void CpuKernels::linear_forward(const Tensor& y_NO, const Tensor& x_NI, const Tensor& w_OI, Write write) {
  const int64_t N = y_NO.size(0), O = y_NO.size(1), I = x_NI.size(1);
  Real* y = y_NO.as<Real>();
  const Real *x = x_NI.as<Real>(), *w = w_OI.as<Real>();
  parallel_blocks(threads_, N, O, [&](Block n, Block o) {
    gemm_nt(operands_, n.count, o.count, I, x + n.first * I, I, w + o.first * I, I, y + n.first * O + o.first, O,
            write == Write::add);
  });
}

void CpuKernels::linear_bias_forward(const Tensor& y_NO, const Tensor& x_NI, const Tensor& w_OI, const Tensor& bias_O) {
  const int64_t N = y_NO.size(0), O = y_NO.size(1);
  Real* y = y_NO.as<Real>();
  const Real* bias = bias_O.as<Real>();
  parallel_ranges(threads_, N, row_grain(O), [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) std::copy_n(bias, O, y + n * O);
  });
  linear_forward(y_NO, x_NI, w_OI, Write::add);
}

void CpuKernels::linear_backward_input(const Tensor& dx_NI, const Tensor& dy_NO, const Tensor& w_OI, Write write) {
  const int64_t N = dx_NI.size(0), O = dy_NO.size(1), I = dx_NI.size(1);
  Real* dx = dx_NI.as<Real>();
  const Real *dy = dy_NO.as<Real>(), *w = w_OI.as<Real>();
  parallel_blocks(threads_, N, I, [&](Block n, Block i) {
    gemm_nn(operands_, n.count, i.count, O, dy + n.first * O, O, w + i.first, I, dx + n.first * I + i.first, I,
            write == Write::add);
  });
}

void CpuKernels::linear_backward_weight(const Tensor& dw_OI, const Tensor& dy_NO, const Tensor& x_NI) {
  const int64_t N = dy_NO.size(0), O = dw_OI.size(0), I = dw_OI.size(1);
  Real* dw = dw_OI.as<Real>();
  const Real *dy = dy_NO.as<Real>(), *x = x_NI.as<Real>();
  parallel_blocks(threads_, O, I, [&](Block o, Block i) {
    gemm_tn(operands_, o.count, i.count, N, dy + o.first, O, x + i.first, I, dw + o.first * I + i.first, I, true);
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
