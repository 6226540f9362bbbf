#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/expert_rows.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/swiglu_rows.h"

// The rows are processed piece by piece, as in grouped_linear.cpp, so that the activation or its gradient finds the
// product's output in cache.

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

void CpuKernels::grouped_swiglu_forward(const Tensor& a_RF, const Tensor& h_R2F, const Tensor& x, const Tensor& w_E2FI,
                                        const Tensor& offsets_E1, const Tensor& slots_R) {
  const int64_t R = a_RF.size(0), F = a_RF.size(1), I = x.size(1), E = w_E2FI.size(0);
  const RowSource source(x, slots_R, R);
  Real *a = a_RF.as<Real>(), *h = h_R2F.as<Real>();
  const Real* w = w_E2FI.as<Real>();
  const int64_t* offsets = offsets_E1.as<int64_t>();
  parallel_blocks(threads_, offsets[E], F, [&](Block rows, Block f) {
    for_each_expert(offsets, E, rows, [&](int64_t e, Block of_expert) {
      for_each_piece(of_expert, [&](Block r) {
        const auto in = source.read(r);
        const auto columns_of_h = [&](int64_t first, int64_t count) {
          gemm_nt(operands_, r.count, count, I, in.data, in.stride, w + (e * 2 * F + first) * I, I,
                  h + r.first * 2 * F + first, 2 * F, false);
        };
        if (f.count == F) {
          columns_of_h(0, 2 * F);
        } else {
          columns_of_h(f.first, f.count);
          columns_of_h(F + f.first, f.count);
        }
        for (int64_t row = r.first; row < r.first + r.count; ++row) {
          const Real* gate = h + row * 2 * F + f.first;
          swiglu_row(a + row * F + f.first, gate, gate + F, f.count);
        }
      });
    });
  });
}

void CpuKernels::grouped_swiglu_backward(const Tensor& dh_R2F, const Tensor& dy_RO, const Tensor& w_EOF,
                                         const Tensor& h_R2F, const Tensor& offsets_E1) {
  const int64_t O = dy_RO.size(1), E = w_EOF.size(0), F = w_EOF.size(2);
  Real* dh = dh_R2F.as<Real>();
  const Real *dy = dy_RO.as<Real>(), *w = w_EOF.as<Real>(), *h = h_R2F.as<Real>();
  const int64_t* offsets = offsets_E1.as<int64_t>();
  parallel_blocks(threads_, offsets[E], F, [&](Block rows, Block f) {
    static thread_local ThreadBuffer buffer;
    for_each_expert(offsets, E, rows, [&](int64_t e, Block of_expert) {
      for_each_piece(of_expert, [&](Block r) {
        Real* const da = buffer.get(r.count * f.count);
        gemm_nn(operands_, r.count, f.count, O, dy + r.first * O, O, w + e * O * F + f.first, F, da, f.count, false);
        for (int64_t i = 0; i < r.count; ++i) {
          const int64_t gate = (r.first + i) * 2 * F + f.first, up = gate + F;
          swiglu_row_backward(dh + gate, dh + up, da + i * f.count, h + gate, h + up, f.count);
        }
      });
    });
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
