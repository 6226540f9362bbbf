#include <cstring>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

void CpuKernels::embedding_forward(const Tensor& out_NC, const Tensor& table_VC, const Tensor& tokens_N) {
  const int64_t N = tokens_N.count(), C = table_VC.size(1);
  Real* out = out_NC.as<Real>();
  const Real* table = table_VC.as<Real>();
  const int32_t* tokens = tokens_N.as<int32_t>();
  parallel_ranges(threads_, N, row_grain(C), [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) std::memcpy(out + n * C, table + tokens[n] * C, C * sizeof(Real));
  });
}

void CpuKernels::embedding_backward(const Tensor& dtable_VC, const Tensor& dout_NC, const Tensor& tokens_N) {
  const int64_t N = tokens_N.count(), C = dtable_VC.size(1);
  Real* dtable = dtable_VC.as<Real>();
  const Real* dout = dout_NC.as<Real>();
  const int32_t* tokens = tokens_N.as<int32_t>();
  // Each thread takes whole cache lines of columns and all tokens, so that one thread sums all rows of equal tokens.
  constexpr int64_t kLine = 64 / sizeof(Real);
  const int64_t lines = (C + kLine - 1) / kLine;
  parallel_ranges(threads_, lines, row_grain(N * kLine), [=](int64_t first_line, int64_t last_line, int) {
    const int64_t begin = first_line * kLine, width = std::min(C, last_line * kLine) - begin;
    for (int64_t n = 0; n < N; ++n) add_scaled(dtable + tokens[n] * C + begin, 1, dout + n * C + begin, width);
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
