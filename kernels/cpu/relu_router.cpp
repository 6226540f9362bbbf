#include <limits>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

void CpuKernels::relu_router_forward(const Tensor& probs_NE, const Tensor& expert_ids_NE, const Tensor& logits_NE) {
  const int64_t N = logits_NE.size(0), E = logits_NE.size(1);
  Real* probs = probs_NE.as<Real>();
  int32_t* expert_ids = expert_ids_NE.as<int32_t>();
  const Real* logits = logits_NE.as<Real>();
  parallel_ranges(threads_, N, row_grain(E), [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin * E; i < end * E; ++i) {
      const bool dead = logits[i] <= 0;  // a slot with NaN stays live, so that the NaN is noticed
      probs[i] = dead ? 0 : logits[i];
      expert_ids[i] = dead ? -1 : static_cast<int32_t>(i % E);
    }
  });
}

void CpuKernels::relu_router_backward(const Tensor& dlogits_NE, const Tensor& dprobs_NE, const Tensor& probs_NE) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1);
  Real* dlogits = dlogits_NE.as<Real>();
  const Real *dprobs = dprobs_NE.as<Real>(), *probs = probs_NE.as<Real>();
  parallel_ranges(threads_, N * E, kGrainElements, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) dlogits[i] = probs[i] == 0 ? 0 : dprobs[i];
  });
}

void CpuKernels::excess_accumulate(const Tensor& excess_1, const Tensor& offsets_E1, int64_t target) {
  *excess_1.as<Real>() += static_cast<Real>(offsets_E1.as<int64_t>()[offsets_E1.count() - 1] - target);
}

void CpuKernels::l1_commit(const Tensor& coefficient_1, const Tensor& excess_1, double factor) {
  Real &coefficient = *coefficient_1.as<Real>(), &excess = *excess_1.as<Real>();
  const Real by = static_cast<Real>(factor);
  const Real least = std::numeric_limits<float>::min(), most = std::numeric_limits<float>::max();
  if (excess > 0) coefficient = std::min(coefficient * by, most);
  if (excess < 0) coefficient = std::max(coefficient / by, least);
  excess = 0;
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
