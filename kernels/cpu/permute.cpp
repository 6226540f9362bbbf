#include <algorithm>
#include <utility>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

void CpuKernels::sort_by_expert(const Tensor& offsets_E1, const Tensor& slots_R, const Tensor& positions_NK,
                                const Tensor& expert_ids_NK) {
  const int64_t R = expert_ids_NK.count(), E = offsets_E1.count() - 1;
  int64_t* offsets = offsets_E1.as<int64_t>();
  int32_t *slots = slots_R.as<int32_t>(), *positions = positions_NK.as<int32_t>();
  const int32_t* expert_ids = expert_ids_NK.as<int32_t>();
  // next[e] first counts expert e's rows. Then it becomes the index of the expert's first row. next[e] advances by one
  // for each row that is placed, until it is the index of the next expert's first row.
  int64_t* next = offsets + 1;
  std::fill(offsets, offsets + E + 1, 0);
  for (int64_t slot = 0; slot < R; ++slot)
    if (expert_ids[slot] >= 0) ++next[expert_ids[slot]];
  for (int64_t e = 0, first = 0; e < E; ++e) first += std::exchange(next[e], first);
  for (int64_t slot = 0; slot < R; ++slot) {
    positions[slot] = -1;
    if (expert_ids[slot] < 0) continue;
    const int64_t row = next[expert_ids[slot]]++;
    slots[row] = static_cast<int32_t>(slot);
    positions[slot] = static_cast<int32_t>(row);
  }
}

void CpuKernels::scatter_rows_add(const Tensor& y_NC, const Tensor& rows_RC, const Tensor& positions_NK) {
  const int64_t N = y_NC.size(0), C = y_NC.size(1), K = positions_NK.size(1);
  Real* y = y_NC.as<Real>();
  const Real* rows = rows_RC.as<Real>();
  const int32_t* positions = positions_NK.as<int32_t>();
  parallel_ranges(threads_, N, row_grain(C * K), [=](int64_t begin, int64_t end, int) {
    for (int64_t slot = begin * K; slot < end * K; ++slot)
      if (positions[slot] >= 0) add_scaled(y + slot / K * C, 1, rows + positions[slot] * C, C);
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
