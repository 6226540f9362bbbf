#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/expert_rows.h"
#include "kernels/cpu/gemm.h"

// Work is divided among threads by rows, not by experts: an even cut through the sorted rows (or, for few rows, through
// the columns) balances any routing, from uniform to every row on one expert.

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

void CpuKernels::grouped_linear_forward(const Tensor& y_RO, const Tensor& x, const Tensor& w_EOI,
                                        const Tensor& offsets_E1, const Tensor& slots_R) {
  const int64_t R = y_RO.size(0), O = y_RO.size(1), I = x.size(1), E = w_EOI.size(0);
  const RowSource source(x, slots_R, R);
  Real* y = y_RO.as<Real>();
  const Real* w = w_EOI.as<Real>();
  const int64_t* offsets = offsets_E1.as<int64_t>();
  parallel_blocks(threads_, offsets[E], O, [&](Block rows, Block o) {
    for_each_expert(offsets, E, rows, [&](int64_t e, Block of_expert) {
      const auto multiply = [&](Block r) {
        const auto in = source.read(r);
        gemm_nt(operands_, r.count, o.count, I, in.data, in.stride, w + (e * O + o.first) * I, I,
                y + r.first * O + o.first, O, false);
      };
      source.gathers() ? for_each_piece(of_expert, multiply) : multiply(of_expert);
    });
  });
}

void CpuKernels::grouped_linear_backward_input(const Tensor& dx_RI, const Tensor& dy_RO, const Tensor& w_EOI,
                                               const Tensor& offsets_E1) {
  const int64_t I = dx_RI.size(1), O = dy_RO.size(1), E = w_EOI.size(0);
  Real* dx = dx_RI.as<Real>();
  const Real *dy = dy_RO.as<Real>(), *w = w_EOI.as<Real>();
  const int64_t* offsets = offsets_E1.as<int64_t>();
  parallel_blocks(threads_, offsets[E], I, [&](Block rows, Block i) {
    for_each_expert(offsets, E, rows, [&](int64_t e, Block r) {
      gemm_nn(operands_, r.count, i.count, O, dy + r.first * O, O, w + e * O * I + i.first, I,
              dx + r.first * I + i.first, I, false);
    });
  });
}

void CpuKernels::grouped_linear_backward_weight(const Tensor& dw_EOI, const Tensor& dy_RO, const Tensor& x,
                                                const Tensor& offsets_E1, const Tensor& slots_R) {
  const int64_t E = dw_EOI.size(0), O = dw_EOI.size(1), I = dw_EOI.size(2), R = dy_RO.size(0);
  const RowSource source(x, slots_R, R);
  Real* dw = dw_EOI.as<Real>();
  const Real* dy = dy_RO.as<Real>();
  const int64_t* offsets = offsets_E1.as<int64_t>();
  // The work is a sequence of units, (live rows) * slices in all. In it, expert e has one segment for each slice of
  // kSlice columns, with a unit for each of the expert's rows. A cut through an expert gives its first slices to one
  // thread and the others to the next, so no two threads gather the same slice.
  constexpr int64_t kSlice = 16;
  const int64_t slices = (I + kSlice - 1) / kSlice;
  parallel_ranges(threads_, offsets[E] * slices, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t e = 0; e < E; ++e) {
      const int64_t first = offsets[e], rows = offsets[e + 1] - first;
      if (rows == 0) continue;
      // A slice belongs to the range where it starts.
      const auto slice_at = [&](int64_t work) {
        return std::clamp<int64_t>((work - first * slices + rows - 1) / rows, 0, slices);
      };
      const int64_t i = slice_at(begin) * kSlice, count = std::min(I, slice_at(end) * kSlice) - i;
      if (count <= 0) continue;
      const auto multiply = [&](Block r) {
        const auto in = source.read(r, Block{i, count});
        gemm_tn(operands_, O, count, r.count, dy + r.first * O, O, in.data, in.stride, dw + e * O * I + i, I, true);
      };
      source.gathers() ? for_each_piece(Block{first, rows}, multiply) : multiply(Block{first, rows});
    }
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
