#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/vector.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {
namespace {

// Returns the loss of one row of logits. Replaces each logit with e^(logit - max) and sets `sum` to the sum of the new
// values.
Real softmax_loss(Real* logits, int64_t V, int32_t target, Real& sum) {
  const Real max = max_of(logits, V);
  const Real shifted_target = logits[target] - max;
  exp_in_place(logits, V, 1, max);
  sum = sum_of(logits, V);
  return std::log(sum) - shifted_target;
}

}  // namespace

void CpuKernels::lm_head_loss(const Tensor& losses_N, const Tensor& dx_NC, const Tensor& dw_VC, const Tensor& x_NC,
                              const Tensor& w_VC, const Tensor& targets_N, double loss_scale, const Tensor& logits_MV) {
  const int64_t N = x_NC.size(0), C = x_NC.size(1), V = w_VC.size(0), M = logits_MV.size(0);
  const bool backward = dx_NC.present();
  Real *losses = losses_N.as<Real>(), *logits = logits_MV.as<Real>();
  Real *dx = backward ? dx_NC.as<Real>() : nullptr, *dw = backward ? dw_VC.as<Real>() : nullptr;
  const Real *x = x_NC.as<Real>(), *w = w_VC.as<Real>();
  const int32_t* targets = targets_N.as<int32_t>();
  const Real scale = static_cast<Real>(loss_scale);

  for (int64_t first = 0; first < N; first += M) {
    const int64_t rows = std::min(M, N - first);
    const Real* chunk = x + first * C;
    // From logits to dx, a thread only needs its own rows.
    parallel_ranges(threads_, rows, 16, [&](int64_t begin, int64_t end, int) {
      gemm_nt(operands_, end - begin, V, C, chunk + begin * C, C, w, C, logits + begin * V, V, false);
      for (int64_t i = begin; i < end; ++i) {
        Real *row = logits + i * V, sum;
        const int32_t target = targets[first + i];
        losses[first + i] = softmax_loss(row, V, target, sum);
        if (!backward) continue;
        const Real factor = scale / sum;
        for (int64_t v = 0; v < V; ++v) row[v] *= factor;
        row[target] -= scale;
      }
      if (backward)
        gemm_nn(operands_, end - begin, C, V, logits + begin * V, V, w, C, dx + (first + begin) * C, C, false);
    });
    if (!backward) continue;
    parallel_ranges(threads_, V, 16, [&](int64_t begin, int64_t end, int) {
      gemm_tn(operands_, end - begin, C, rows, logits + begin, V, chunk, C, dw + begin * C, C, true);
    });
  }
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
