#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {
namespace {

constexpr Real kRange = 16;  // bins cover [-kRange, kRange)

// The bin of a logit. x * (W / 32) is exact, so every precision finds the same bin.
int64_t bin_of(Real x, int64_t W) {
  if (!(x >= -kRange)) return 0;
  if (x >= kRange) return W - 1;
  const Real bins_per_unit = static_cast<Real>(W) / (2 * kRange);
  return static_cast<int64_t>(std::floor(x * bins_per_unit)) + W / 2;
}

}  // namespace

void CpuKernels::threshold_router_forward(const Tensor& expert_ids_NE, const Tensor& logits_NE,
                                          const Tensor& thresholds_E) {
  const int64_t N = logits_NE.size(0), E = logits_NE.size(1);
  int32_t* expert_ids = expert_ids_NE.as<int32_t>();
  const Real *logits = logits_NE.as<Real>(), *thresholds = thresholds_E.as<Real>();
  parallel_ranges(threads_, N, row_grain(E), [=](int64_t begin, int64_t end, int) {
    for (int64_t i = begin * E; i < end * E; ++i) {
      const bool dead = logits[i] <= thresholds[i % E];  // a slot with NaN stays live, so that the NaN is noticed
      expert_ids[i] = dead ? -1 : static_cast<int32_t>(i % E);
    }
  });
}

void CpuKernels::logit_counts(const Tensor& counts_EW, const Tensor& logits_NE) {
  const int64_t N = logits_NE.size(0), E = logits_NE.size(1), W = counts_EW.size(1);
  Real* counts = counts_EW.as<Real>();
  const Real* logits = logits_NE.as<Real>();
  parallel_ranges(threads_, E, row_grain(N), [=](int64_t begin, int64_t end, int) {
    for (int64_t e = begin; e < end; ++e)
      for (int64_t n = 0; n < N; ++n) counts[e * W + bin_of(logits[n * E + e], W)] += 1;
  });
}

void CpuKernels::count_cutoffs(const Tensor& cutoffs_E, const Tensor& counts_EW, double share) {
  const int64_t E = counts_EW.size(0), W = counts_EW.size(1);
  Real* cutoffs = cutoffs_E.as<Real>();
  const Real width = 2 * kRange / static_cast<Real>(W);
  for (int64_t e = 0; e < E; ++e) {
    const Real* counts = counts_EW.as<Real>() + e * W;
    double total = 0;
    for (int64_t w = 0; w < W; ++w) total += counts[w];
    const double wanted = share * total;
    double above = 0;
    int64_t w = W - 1;
    while (w > 0 && above + counts[w] < wanted) above += counts[w--];
    const double part = counts[w] > 0 ? std::min((wanted - above) / counts[w], 1.0) : 1.0;
    cutoffs[e] = -kRange + width * (static_cast<Real>(w + 1) - static_cast<Real>(part));
  }
}

void CpuKernels::pick_thresholds(const Tensor& used_E, const Tensor& cutoffs_E, const Tensor& thresholds_E,
                                 const Tensor& steps_1, double warmup) {
  const Tensor& from = *steps_1.as<Real>() < static_cast<Real>(warmup) ? cutoffs_E : thresholds_E;
  std::copy_n(from.as<Real>(), used_E.count(), used_E.as<Real>());
}

void CpuKernels::threshold_commit(const Tensor& thresholds_E, const Tensor& steps_1, const Tensor& cutoffs_E,
                                  double decay) {
  Real *thresholds = thresholds_E.as<Real>(), &steps = *steps_1.as<Real>();
  const Real* cutoffs = cutoffs_E.as<Real>();
  const Real weight = static_cast<Real>((1 - decay) / (1 - std::pow(decay, static_cast<double>(steps) + 1)));
  for (int64_t e = 0; e < thresholds_E.count(); ++e) thresholds[e] += weight * (cutoffs[e] - thresholds[e]);
  steps += 1;
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
