#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/reduce.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

void CpuKernels::bias_backward(const Tensor& dbias_O, const Tensor& dy_NO) {
  const int64_t N = dy_NO.size(0), O = dy_NO.size(1);
  const Real* dy = dy_NO.as<Real>();
  const Real* sums = column_sums(threads_, N, row_grain(O), O, [=](int64_t begin, int64_t end, Real* partial) {
    for (int64_t n = begin; n < end; ++n) add_scaled(partial, 1, dy + n * O, O);
  });
  add_scaled(dbias_O.as<Real>(), 1, sums, O);
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
