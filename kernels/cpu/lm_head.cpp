#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"
#include "kernels/cpu/thread_buffer.h"
#include "kernels/cpu/vector.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {
namespace {

// Replaces each logit by cap * tanh(logit / cap). Writes the derivatives to `slopes` if it is not null.
void cap_row(Real* logits, Real* slopes, int64_t V, Real cap) {
  const Real twice = 2 / cap;
  if (slopes) {
#pragma omp simd
    for (int64_t v = 0; v < V; ++v) {
      const Real tanh = 1 - 2 / (1 + exp_real(twice * logits[v]));
      logits[v] = cap * tanh;
      slopes[v] = 1 - tanh * tanh;
    }
    return;
  }
#pragma omp simd
  for (int64_t v = 0; v < V; ++v) logits[v] = cap * (1 - 2 / (1 + exp_real(twice * logits[v])));
}

struct RowLoss {
  Real loss, lse, sum;
};

// The loss of one row of logits. Replaces each logit with e^(logit - max); `sum` is the sum of the new values.
RowLoss softmax_loss(Real* logits, int64_t V, int32_t target) {
  const Real max = max_of(logits, V);
  const Real shifted_target = logits[target] - max;
  exp_in_place(logits, V, 1, max);
  const Real sum = sum_of(logits, V), log_sum = std::log(sum);
  return {log_sum - shifted_target, log_sum + max, sum};
}

// Turns the row that softmax_loss() left into the gradient of scale * (loss + z_loss * lse^2).
void differentiate_row(Real* row, const Real* slopes, int64_t V, int32_t target, const RowLoss& result, Real scale,
                       Real z_loss) {
  const Real factor = scale * (1 + 2 * z_loss * result.lse) / result.sum;
  for (int64_t v = 0; v < V; ++v) row[v] *= factor;
  row[target] -= scale;
  for (int64_t v = 0; slopes && v < V; ++v) row[v] *= slopes[v];
}

}  // namespace

void CpuKernels::lm_head_loss(const Tensor& losses_N, const Tensor& lse_N, const Tensor& dx_NC, const Tensor& dw_VC,
                              const Tensor& x_NC, const Tensor& w_VC, const Tensor& targets_N, double loss_scale,
                              const Tensor& logits_MV, double z_loss, double cap) {
  const int64_t N = x_NC.size(0), C = x_NC.size(1), V = w_VC.size(0), M = logits_MV.size(0);
  const bool backward = dx_NC.present();
  Real *losses = losses_N.as<Real>(), *logits = logits_MV.as<Real>();
  Real* lse = lse_N.present() ? lse_N.as<Real>() : nullptr;
  Real *dx = backward ? dx_NC.as<Real>() : nullptr, *dw = backward ? dw_VC.as<Real>() : nullptr;
  const Real *x = x_NC.as<Real>(), *w = w_VC.as<Real>();
  const int32_t* targets = targets_N.as<int32_t>();
  const Real scale = static_cast<Real>(loss_scale);

  for (int64_t first = 0; first < N; first += M) {
    const int64_t rows = std::min(M, N - first);
    const Real* chunk = x + first * C;
    // To compute the logits of some rows, and from them dx, a thread needs no other rows.
    parallel_ranges(threads_, rows, 16, [&](int64_t begin, int64_t end, int) {
      gemm_nt(operands_, end - begin, V, C, chunk + begin * C, C, w, C, logits + begin * V, V, false);
      static thread_local ThreadBuffer buffer;
      Real* slopes = cap > 0 && backward ? buffer.get(V) : nullptr;
      for (int64_t i = begin; i < end; ++i) {
        Real* row = logits + i * V;
        const int32_t target = targets[first + i];
        if (cap > 0) cap_row(row, slopes, V, static_cast<Real>(cap));
        const RowLoss result = softmax_loss(row, V, target);
        losses[first + i] = result.loss;
        if (lse) lse[first + i] = result.lse;
        if (backward) differentiate_row(row, slopes, V, target, result, scale, static_cast<Real>(z_loss));
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

void CpuKernels::softcap(const Tensor& logits_NV, double cap) {
  Real* logits = logits_NV.as<Real>();
  parallel_ranges(threads_, logits_NV.count(), kGrainElements, [=](int64_t begin, int64_t end, int) {
    cap_row(logits + begin, nullptr, end - begin, static_cast<Real>(cap));
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
