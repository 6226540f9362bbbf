#include <numeric>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/reduce.h"
#include "kernels/cpu/row_math.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

void CpuKernels::expert_fractions(const Tensor& fractions_E, const Tensor& offsets_E1, int64_t rows) {
  const int64_t E = fractions_E.count();
  Real* fractions = fractions_E.as<Real>();
  const int64_t* offsets = offsets_E1.as<int64_t>();
  for (int64_t e = 0; e < E; ++e)
    fractions[e] = static_cast<Real>(static_cast<double>(offsets[e + 1] - offsets[e]) / static_cast<double>(rows));
}

void CpuKernels::mean_fractions(const Tensor& mean_E, const Tensor& sums_E1, const Tensor& fractions_E) {
  const int64_t E = fractions_E.count();
  Real *mean = mean_E.as<Real>(), *sums = sums_E1.as<Real>();
  const Real* fractions = fractions_E.as<Real>();
  sums[E] += 1;
  for (int64_t e = 0; e < E; ++e) mean[e] = (sums[e] += fractions[e]) / sums[E];
}

void CpuKernels::load_balance_forward(const Tensor& loss_1, const Tensor& probs_NE, const Tensor& fractions_E) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1);
  const Real *probs = probs_NE.as<Real>(), *fractions = fractions_E.as<Real>();
  // sum_e f_e mean_n p_ne: one dot product over experts for each token, then the sum over tokens.
  const double sum = chunked_sum(threads_, N, E, [=](int64_t begin, int64_t end) {
    double partial = 0;
    for (int64_t n = begin; n < end; ++n) partial += dot(probs + n * E, fractions, E);
    return partial;
  });
  *loss_1.as<Real>() = static_cast<Real>(static_cast<double>(E) * sum / static_cast<double>(N));
}

void CpuKernels::load_balance_backward(const Tensor& dprobs_NE, const Tensor& fractions_E, double scale,
                                       const Tensor& coefficient_1) {
  const int64_t N = dprobs_NE.size(0), E = dprobs_NE.size(1);
  Real* dprobs = dprobs_NE.as<Real>();
  const Real* fractions = fractions_E.as<Real>();
  Real factor = static_cast<Real>(scale * static_cast<double>(E) / static_cast<double>(N));
  if (coefficient_1.present()) factor *= *coefficient_1.as<Real>();
  parallel_ranges(threads_, N, row_grain(E), [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) add_scaled(dprobs + n * E, factor, fractions, E);
  });
}

void CpuKernels::load_accumulate(const Tensor& loads_E, const Tensor& offsets_E1) {
  const int64_t E = loads_E.count();
  Real* loads = loads_E.as<Real>();
  const int64_t* offsets = offsets_E1.as<int64_t>();
  for (int64_t e = 0; e < E; ++e) loads[e] += static_cast<Real>(offsets[e + 1] - offsets[e]);
}

void CpuKernels::bias_commit(const Tensor& bias_E, const Tensor& loads_E, double rate) {
  const int64_t E = bias_E.count();
  Real *bias = bias_E.as<Real>(), *loads = loads_E.as<Real>();
  const Real step = static_cast<Real>(rate);
  const double total = std::accumulate(loads, loads + E, 0.0);
  for (int64_t e = 0; e < E; ++e) {
    const double lack = total - static_cast<double>(E) * loads[e];
    if (lack != 0) bias[e] += lack > 0 ? step : -step;
    loads[e] = 0;
  }
}

void CpuKernels::z_loss_forward(const Tensor& loss_1, const Tensor& lse_N) {
  const int64_t N = lse_N.count();
  const Real* lse = lse_N.as<Real>();
  const double sum = chunked_sum(threads_, N, 1, [=](int64_t begin, int64_t end) {
    double squares = 0;
    for (int64_t n = begin; n < end; ++n) squares += static_cast<double>(lse[n]) * lse[n];
    return squares;
  });
  *loss_1.as<Real>() = static_cast<Real>(sum / static_cast<double>(N));
}

void CpuKernels::z_loss_backward(const Tensor& dlogits_NE, const Tensor& probs_NE, const Tensor& lse_N, double scale) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1);
  Real* dlogits = dlogits_NE.as<Real>();
  const Real *probs = probs_NE.as<Real>(), *lse = lse_N.as<Real>();
  const Real factor = static_cast<Real>(2 * scale / static_cast<double>(N));
  parallel_ranges(threads_, N, row_grain(E), [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) add_scaled(dlogits + n * E, factor * lse[n], probs + n * E, E);
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
