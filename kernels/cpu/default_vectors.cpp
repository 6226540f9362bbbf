#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"
#include "kernels/cpu/thread_buffer.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

void CpuKernels::default_clip_scale(const Tensor& row_scale_R, const Tensor& rows_RC, double clip) {
  const int64_t R = rows_RC.size(0), C = rows_RC.size(1);
  Real* row_scale = row_scale_R.as<Real>();
  const Real* rows = rows_RC.as<Real>();
  parallel_ranges(threads_, R, row_grain(C), [=](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) row_scale[r] = std::sqrt(dot(rows + r * C, rows + r * C, C));
  });
  static thread_local ThreadBuffer buffer;
  Real* norms = buffer.get(R);
  std::copy(row_scale, row_scale + R, norms);
  Real* median = norms + (R - 1) / 2;
  // NaN counts as the largest, since nth_element needs an order.
  std::nth_element(norms, median, norms + R, [](Real a, Real b) { return a < b || (std::isnan(b) && !std::isnan(a)); });
  const Real limit = static_cast<Real>(clip) * *median;
  for (int64_t r = 0; r < R; ++r) row_scale[r] = row_scale[r] > limit ? limit / row_scale[r] : 1;
}

void CpuKernels::default_accumulate(const Tensor& sums_EC, const Tensor& divisors_E, const Tensor& rows_RC,
                                    const Tensor& gates_NK, const Tensor& slots_R, const Tensor& offsets_E1,
                                    const Tensor& row_scale_R, Divisor divisor) {
  const int64_t E = sums_EC.size(0), C = sums_EC.size(1), R = rows_RC.size(0);
  Real *sums = sums_EC.as<Real>(), *divisors = divisors_E.as<Real>();
  const Real* rows = rows_RC.as<Real>();
  const Real* gates = gates_NK.present() ? gates_NK.as<Real>() : nullptr;
  const Real* row_scale = row_scale_R.present() ? row_scale_R.as<Real>() : nullptr;
  const int32_t* slots = slots_R.as<int32_t>();
  const int64_t* offsets = offsets_E1.as<int64_t>();

  static thread_local ThreadBuffer buffer;
  Real* factors = buffer.get(R);
  for (int64_t e = 0; e < E; ++e) {
    double gate_sum = 0;
    for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r) {
      const Real weight = gates ? gates[slots[r]] : 1;
      gate_sum += weight;
      factors[r] = row_scale ? weight * row_scale[r] : weight;
    }
    divisors[e] +=
        divisor == Divisor::gates ? static_cast<Real>(gate_sum) : static_cast<Real>(offsets[e + 1] - offsets[e]);
  }

  // Work is divided among threads by columns, since an expert may have any number of rows. Rows are summed in blocks
  // first, which keeps the rounding error of a popular expert's long sum small.
  constexpr int64_t kLine = 64 / sizeof(Real), kColumns = 64 * kLine, kRows = 64;
  const int64_t lines = (C + kLine - 1) / kLine;
  parallel_ranges(threads_, lines, row_grain(R * kLine), [=](int64_t first_line, int64_t last_line, int) {
    const int64_t end = std::min(C, last_line * kLine);
    for (int64_t c = first_line * kLine; c < end; c += kColumns) {
      const int64_t width = std::min(kColumns, end - c);
      for (int64_t e = 0; e < E; ++e)
        for (int64_t r = offsets[e]; r < offsets[e + 1]; r += kRows) {
          Real block[kColumns] = {};
          add_weighted_rows(block, width, factors + r, std::min(kRows, offsets[e + 1] - r),
                            [=](int64_t j) { return rows + (r + j) * C + c; });
          add_scaled(sums + e * C + c, 1, block, width);
        }
    }
  });
}

void CpuKernels::default_commit(const Tensor& default_EC, const Tensor& sums_EC, const Tensor& divisors_E, double beta,
                                bool decay_unseen) {
  const int64_t E = default_EC.size(0), C = default_EC.size(1);
  Real *defaults = default_EC.as<Real>(), *sums = sums_EC.as<Real>(), *divisors = divisors_E.as<Real>();
  const Real keep = static_cast<Real>(beta);
  parallel_ranges(threads_, E, row_grain(C), [=](int64_t begin, int64_t end, int) {
    for (int64_t e = begin; e < end; ++e) {
      Real *old = defaults + e * C, *sum = sums + e * C;
      if (divisors[e] > 0) {
        const Real take = static_cast<Real>((1 - beta) / divisors[e]);
        for (int64_t c = 0; c < C; ++c) old[c] = keep * old[c] + take * sum[c];
      } else if (decay_unseen) {
        for (int64_t c = 0; c < C; ++c) old[c] *= keep;
      }
      std::fill(sum, sum + C, Real{0});
      divisors[e] = 0;
    }
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
