#include <algorithm>
#include <cmath>

#include "base/rng.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"
#include "kernels/draws.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

namespace {

bool chosen(const int32_t* ids, int64_t count, int64_t expert) {
  return std::find(ids, ids + count, static_cast<int32_t>(expert)) != ids + count;
}

// Sets `shares` to one round's probabilities (p in docs/mathematics.md), given the `count` experts already chosen.
// Returns the expert with the largest share.
int32_t round_shares(Real* shares, const Real* logits, const int32_t* ids, int64_t count, int64_t E, Real threshold) {
  int32_t best = -1;
  for (int64_t e = 0; e < E; ++e)
    if (!chosen(ids, count, e) && (best < 0 || logits[e] > logits[best])) best = static_cast<int32_t>(e);
  const Real top = logits[best];
  Real sum = 0;
  for (int64_t e = 0; e < E; ++e) {
    const Real reach = 2 * threshold * std::max(std::abs(logits[e]), top);
    const bool kept = !chosen(ids, count, e) && !(top - logits[e] > reach);
    sum += shares[e] = kept ? exp_real(logits[e] - top) : 0;
  }
  for (int64_t e = 0; e < E; ++e) shares[e] /= sum;
  return best;
}

// Returns the expert at which the running sum of shares passes `uniform`. If rounding keeps the sum below `uniform`,
// returns the last expert with a share; if no expert has a share, `otherwise`.
int32_t expert_at(const Real* shares, int64_t E, Real uniform, int32_t otherwise) {
  Real through = 0;
  for (int64_t e = 0; e < E; ++e) {
    if (!(shares[e] > 0)) continue;
    otherwise = static_cast<int32_t>(e);
    through += shares[e];
    if (uniform < through) break;
  }
  return otherwise;
}

Draws draw(const int64_t* sampler, int64_t token, int64_t round) {
  const auto key = static_cast<uint64_t>(sampler[0]), at = static_cast<uint64_t>(token);
  const auto words =
      philox4x32({static_cast<uint32_t>(at), static_cast<uint32_t>(at >> 32), static_cast<uint32_t>(round), 0},
                 {static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)});
  return draws_from(words[0], words[1]);
}

}  // namespace

void CpuKernels::sparsemixer_forward(const Tensor& expert_ids_NK, const Tensor& gates_NK, const Tensor& shares_NKE,
                                     const Tensor& logits_NE, double threshold, const Tensor& sampler_2,
                                     int64_t first) {
  const int64_t N = logits_NE.size(0), E = logits_NE.size(1), K = expert_ids_NK.size(1);
  int32_t* expert_ids = expert_ids_NK.as<int32_t>();
  Real *gates = gates_NK.as<Real>(), *shares = shares_NKE.as<Real>();
  const Real *logits = logits_NE.as<Real>(), limit = static_cast<Real>(threshold);
  const int64_t* sampler = sampler_2.present() ? sampler_2.as<int64_t>() : nullptr;
  parallel_ranges(threads_, N, row_grain(K * E), [=](int64_t begin, int64_t end, int) {
    for (int64_t slot = begin * K; slot < end * K; ++slot) {
      const int64_t n = slot / K, k = slot % K;
      int32_t* ids = expert_ids + n * K;
      Real* p = shares + slot * E;
      const int32_t best = ids[k] = round_shares(p, logits + n * E, ids, k, E, limit);
      Real scale = 1;
      if (sampler) {
        const Draws draws = draw(sampler, sampler[1] + first + n, k);
        ids[k] = expert_at(p, E, draws.uniform, best);
        if (ids[k] != best && !draws.one_in_four) scale /= 3;
      }
      gates[slot] = scale * p[ids[k]];
    }
  });
}

void CpuKernels::sparsemixer_backward(const Tensor& dlogits_NE, const Tensor& dgates_NK, const Tensor& expert_ids_NK,
                                      const Tensor& shares_NKE) {
  const int64_t N = dlogits_NE.size(0), E = dlogits_NE.size(1), K = expert_ids_NK.size(1);
  Real* dlogits = dlogits_NE.as<Real>();
  const Real *dgates = dgates_NK.as<Real>(), *shares = shares_NKE.as<Real>();
  const int32_t* expert_ids = expert_ids_NK.as<int32_t>();
  parallel_ranges(threads_, N, row_grain(K * E), [=](int64_t begin, int64_t end, int) {
    for (int64_t slot = begin * K; slot < end * K; ++slot) {
      const Real *p = shares + slot * E, factor = dgates[slot] * p[expert_ids[slot]];
      Real* row = dlogits + slot / K * E;
      add_scaled(row, -factor, p, E);
      row[expert_ids[slot]] += factor;
    }
  });
}

void CpuKernels::sampler_advance(const Tensor& sampler_2, int64_t by) { sampler_2.as<int64_t>()[1] += by; }

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
