#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

void CpuKernels::drop_choices(const Tensor& kept_ids_NK, const Tensor& gates_NK, const Tensor& expert_ids_NK,
                              int64_t live) {
  const int64_t N = expert_ids_NK.size(0), K = expert_ids_NK.size(1);
  int32_t* kept_ids = kept_ids_NK.as<int32_t>();
  Real* gates = gates_NK.as<Real>();
  const int32_t* expert_ids = expert_ids_NK.as<int32_t>();
  parallel_ranges(threads_, N * K, kGrainElements, [=](int64_t begin, int64_t end, int) {
    for (int64_t slot = begin; slot < end; ++slot) {
      const bool kept = slot % K < live;
      kept_ids[slot] = kept ? expert_ids[slot] : -1;
      if (!kept) gates[slot] = 0;
    }
  });
}

void CpuKernels::sigmoid_router_forward(const Tensor& probs_NE, const Tensor& logits_NE) {
  const int64_t count = logits_NE.count();
  Real* probs = probs_NE.as<Real>();
  const Real* logits = logits_NE.as<Real>();
  parallel_ranges(threads_, count, kGrainElements, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) probs[i] = 1 / (1 + std::exp(-logits[i]));
  });
}

void CpuKernels::sigmoid_router_backward(const Tensor& dlogits_NE, const Tensor& dprobs_NE, const Tensor& probs_NE) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1);
  Real* dlogits = dlogits_NE.as<Real>();
  const Real *dprobs = dprobs_NE.as<Real>(), *probs = probs_NE.as<Real>();
  parallel_ranges(threads_, N * E, kGrainElements, [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) dlogits[i] = dprobs[i] * probs[i] * (1 - probs[i]);
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
