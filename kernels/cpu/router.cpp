#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/reduce.h"
#include "kernels/cpu/row_math.h"
#include "kernels/cpu/thread_buffer.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

namespace {

// Computes the softmax of `rows` rows, and their log-sum-exps in `lse`. One loop computes the exponentials of all rows,
// since a row of a few experts does not fill the machine's vectors.
void softmax_rows(Real* probs, Real* lse, const Real* logits, int64_t rows, int64_t E) {
  for (int64_t n = 0; n < rows; ++n) {
    const Real* x = logits + n * E;
    Real top = x[0];
    for (int64_t e = 1; e < E; ++e) top = x[e] > top ? x[e] : top;
    for (int64_t e = 0; e < E; ++e) probs[n * E + e] = x[e] - top;
    lse[n] = top;
  }
#pragma omp simd
  for (int64_t i = 0; i < rows * E; ++i) probs[i] = exp_real(probs[i]);
  for (int64_t n = 0; n < rows; ++n) {
    Real* p = probs + n * E;
    Real sum = 0;
    for (int64_t e = 0; e < E; ++e) sum += p[e];
    for (int64_t e = 0; e < E; ++e) p[e] /= sum;
    lse[n] += std::log(sum);
  }
}

void softmax_row_backward(Real* dx, const Real* dp, const Real* p, int64_t E) {
  const Real mean = dot(p, dp, E);
#pragma omp simd
  for (int64_t e = 0; e < E; ++e) dx[e] = p[e] * (dp[e] - mean);
}

// Sets `ids` to the indices of the K largest of values[0, E), in descending order of value, ties by index. The indices
// are inserted into a sorted list one by one. The first K indices enter the list whatever their values, so that ids are
// in range and distinct even if values are NaN.
void largest(int32_t* ids, const Real* values, int64_t E, int64_t K) {
  for (int64_t e = 0; e < E; ++e) {
    int64_t k = e;
    if (e >= K) {
      k = K - 1;
      if (!(values[e] > values[ids[k]])) continue;
    }
    for (; k > 0 && values[e] > values[ids[k - 1]]; --k) ids[k] = ids[k - 1];
    ids[k] = static_cast<int32_t>(e);
  }
}

// The entropy of p / sum(p), which is log(sum) - <p, log(p)> / sum.
double entropy_of_shares(const Real* p, int64_t E) {
  double sum = 0, plogp = 0;
  for (int64_t e = 0; e < E; ++e) {
    if (p[e] == 0) continue;
    sum += p[e];
    plogp += p[e] * std::log(static_cast<double>(p[e]));
  }
  return sum == 0 ? 0 : std::log(sum) - plogp / sum;
}

}  // namespace

void CpuKernels::router_linear_forward(const Tensor& logits_NE, const Tensor& x_NC, const Tensor& w_EC) {
  in_full_precision().linear_forward(logits_NE, x_NC, w_EC, Write::assign);
}

void CpuKernels::router_linear_backward(const Tensor& dx_NC, const Tensor& dw_EC, const Tensor& dlogits_NE,
                                        const Tensor& x_NC, const Tensor& w_EC, Write write) {
  in_full_precision().linear_backward_weight(dw_EC, dlogits_NE, x_NC);
  in_full_precision().linear_backward_input(dx_NC, dlogits_NE, w_EC, write);
}

void CpuKernels::router_softmax_forward(const Tensor& probs_NE, const Tensor& lse_N, const Tensor& logits_NE) {
  const int64_t N = logits_NE.size(0), E = logits_NE.size(1);
  Real *probs = probs_NE.as<Real>(), *lse = lse_N.as<Real>();
  const Real* logits = logits_NE.as<Real>();
  parallel_ranges(threads_, N, row_grain(E), [=](int64_t begin, int64_t end, int) {
    constexpr int64_t kRows = 32;
    for (int64_t n = begin; n < end; n += kRows)
      softmax_rows(probs + n * E, lse + n, logits + n * E, std::min(kRows, end - n), E);
  });
}

void CpuKernels::router_softmax_backward(const Tensor& dlogits_NE, const Tensor& dprobs_NE, const Tensor& probs_NE) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1);
  Real* dlogits = dlogits_NE.as<Real>();
  const Real *dprobs = dprobs_NE.as<Real>(), *probs = probs_NE.as<Real>();
  parallel_ranges(threads_, N, row_grain(E), [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) softmax_row_backward(dlogits + n * E, dprobs + n * E, probs + n * E, E);
  });
}

void CpuKernels::topk_forward(const Tensor& expert_ids_NK, const Tensor& gates_NK, const Tensor& probs_NE,
                              bool normalize, double scale, const Tensor& bias_E) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1), K = expert_ids_NK.size(1);
  int32_t* expert_ids = expert_ids_NK.as<int32_t>();
  Real* gates = gates_NK.as<Real>();
  const Real *probs = probs_NE.as<Real>(), *bias = bias_E.present() ? bias_E.as<Real>() : nullptr;
  parallel_ranges(threads_, N, row_grain(E), [=](int64_t begin, int64_t end, int) {
    static thread_local ThreadBuffer buffer;
    Real* biased = bias ? buffer.get(E) : nullptr;
    for (int64_t n = begin; n < end; ++n) {
      const Real* p = probs + n * E;
      int32_t* ids = expert_ids + n * K;
      Real* g = gates + n * K;
      for (int64_t e = 0; bias && e < E; ++e) biased[e] = p[e] + bias[e];
      largest(ids, bias ? biased : p, E, K);
      Real sum = 0;
      for (int64_t k = 0; k < K; ++k) sum += g[k] = p[ids[k]];
      for (int64_t k = 0; normalize && k < K; ++k) g[k] /= sum;
      for (int64_t k = 0; k < K; ++k) g[k] *= static_cast<Real>(scale);
    }
  });
}

void CpuKernels::topk_backward(const Tensor& dprobs_NE, const Tensor& dgates_NK, const Tensor& gates_NK,
                               const Tensor& expert_ids_NK, const Tensor& probs_NE, bool normalize, double scale) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1), K = expert_ids_NK.size(1);
  Real* dprobs = dprobs_NE.as<Real>();
  const Real *dgates = dgates_NK.as<Real>(), *gates = gates_NK.as<Real>(), *probs = probs_NE.as<Real>();
  const int32_t* expert_ids = expert_ids_NK.as<int32_t>();
  parallel_ranges(threads_, N, row_grain(E), [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      Real* dp = dprobs + n * E;
      const Real *dg = dgates + n * K, *g = gates + n * K;
      const int32_t* ids = expert_ids + n * K;
      // Without normalisation, gate = scale * p. With it, gate = scale * p / sum, so dp = scale * (dgate - <dgate,
      // gate / scale>) / sum.
      const Real by = static_cast<Real>(scale);
      Real sum = 1, mean = 0;
      if (normalize) {
        sum = 0;
        for (int64_t k = 0; k < K; ++k) sum += probs[n * E + ids[k]];
        for (int64_t k = 0; k < K; ++k) mean += dg[k] * (g[k] / by);
      }
      std::fill(dp, dp + E, Real{0});
      for (int64_t k = 0; k < K; ++k) dp[ids[k]] = by * (dg[k] - mean) / sum;
    }
  });
}

void CpuKernels::router_entropy(const Tensor& entropy_1, const Tensor& probs_NE, bool normalize) {
  const int64_t N = probs_NE.size(0), E = probs_NE.size(1);
  const Real* probs = probs_NE.as<Real>();
  const double sum = chunked_sum(threads_, N, E, [=](int64_t begin, int64_t end) {
    double entropy = 0;
    if (normalize) {
      for (int64_t n = begin; n < end; ++n) entropy += entropy_of_shares(probs + n * E, E);
      return entropy;
    }
    for (int64_t i = begin * E; i < end * E; ++i)
      if (probs[i] != 0) entropy -= probs[i] * std::log(probs[i]);
    return entropy;
  });
  *entropy_1.as<Real>() = static_cast<Real>(sum / static_cast<double>(N));
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
