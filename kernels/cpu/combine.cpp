#include <algorithm>
#include <vector>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"
#include "kernels/cpu/thread_buffer.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

namespace {

// Tokens per block. A block's default terms are one matrix product with the (E, C) default vectors. For small products,
// up to about a million multiply-adds, libraries skip packing the operands; for larger ones packing pays off only if
// the block is large.
int64_t block_tokens(int64_t E, int64_t C) {
  const int64_t unpacked = 1000000 / (E * C) / 8 * 8;
  return unpacked > 0 ? std::min<int64_t>(unpacked, 64) : 128;
}

// drow = weight * dy; returns <dy, row>.
Real combine_row_backward(Real* drow, Real weight, const Real* dy, const Real* row, int64_t C) {
  Real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t c = 0; c < C; ++c) {
    sum += dy[c] * row[c];
    drow[c] = weight * dy[c];
  }
  return sum;
}

}  // namespace

void CpuKernels::topk_combine_forward(const Tensor& y_NC, const Tensor& rows_RC, const Tensor& gates_NK,
                                      const Tensor& positions_NK) {
  const int64_t N = y_NC.size(0), C = y_NC.size(1), K = gates_NK.size(1);
  Real* y = y_NC.as<Real>();
  const Real *rows = rows_RC.as<Real>(), *gates = gates_NK.as<Real>();
  const int32_t* positions = positions_NK.as<int32_t>();
  parallel_ranges(threads_, N, row_grain(C * K), [=](int64_t begin, int64_t end, int) {
    std::vector<Real> weights(static_cast<size_t>(K));
    std::vector<const Real*> live(static_cast<size_t>(K));
    for (int64_t n = begin; n < end; ++n) {
      size_t count = 0;
      for (int64_t slot = n * K; slot < (n + 1) * K; ++slot) {
        if (positions[slot] < 0) continue;
        weights[count] = gates[slot];
        live[count++] = rows + positions[slot] * C;
      }
      std::fill(y + n * C, y + (n + 1) * C, Real{0});
      add_weighted_rows(y + n * C, C, weights.data(), static_cast<int64_t>(count),
                        [&](int64_t i) { return live[static_cast<size_t>(i)]; });
    }
  });
}

void CpuKernels::topk_combine_backward(const Tensor& drows_RC, const Tensor& dgates_NK, const Tensor& dy_NC,
                                       const Tensor& rows_RC, const Tensor& gates_NK, const Tensor& positions_NK) {
  const int64_t N = dy_NC.size(0), C = dy_NC.size(1), K = gates_NK.size(1);
  Real *drows = drows_RC.as<Real>(), *dgates = dgates_NK.as<Real>();
  const Real *dy = dy_NC.as<Real>(), *rows = rows_RC.as<Real>(), *gates = gates_NK.as<Real>();
  const int32_t* positions = positions_NK.as<int32_t>();
  parallel_ranges(threads_, N, row_grain(C * K), [=](int64_t begin, int64_t end, int) {
    for (int64_t slot = begin * K; slot < end * K; ++slot) {
      dgates[slot] = 0;
      if (positions[slot] < 0) continue;
      const int64_t row = positions[slot] * C;
      dgates[slot] = combine_row_backward(drows + row, gates[slot], dy + slot / K * C, rows + row, C);
    }
  });
}

void CpuKernels::default_combine_forward(const Tensor& y_NC, const Tensor& rows_RC, const Tensor& probs_NE,
                                         const Tensor& expert_ids_NK, const Tensor& positions_NK,
                                         const Tensor& default_EC) {
  const int64_t N = y_NC.size(0), C = y_NC.size(1), E = probs_NE.size(1), K = expert_ids_NK.size(1);
  Real* y = y_NC.as<Real>();
  const Real *rows = rows_RC.as<Real>(), *probs = probs_NE.as<Real>(), *defaults = default_EC.as<Real>();
  const int32_t *expert_ids = expert_ids_NK.as<int32_t>(), *positions = positions_NK.as<int32_t>();

  // Each thread's buffer holds a block's probabilities, with zeros for the chosen experts, and one token's K gates.
  const int64_t block = block_tokens(E, C), stride = block * E + K;
  static thread_local ThreadBuffer buffer;
  Real* work = buffer.get(threads_ * stride);
  parallel_ranges(threads_, N, row_grain(C * (K + E)), [=](int64_t begin, int64_t end, int thread) {
    Real *others = work + thread * stride, *gates = others + block * E;
    for (int64_t first = begin; first < end; first += block) {
      const int64_t tokens = std::min(block, end - first);
      std::copy(probs + first * E, probs + (first + tokens) * E, others);
      for (int64_t slot = 0; slot < tokens * K; ++slot) others[slot / K * E + expert_ids[first * K + slot]] = 0;
      gemm_nn(Operands::real, tokens, C, E, others, E, defaults, C, y + first * C, C, false);
      for (int64_t n = first; n < first + tokens; ++n) {
        const int32_t* position = positions + n * K;
        for (int64_t k = 0; k < K; ++k) gates[k] = probs[n * E + expert_ids[n * K + k]];
        add_weighted_rows(y + n * C, C, gates, K, [=](int64_t k) { return rows + position[k] * C; });
      }
    }
  });
}

void CpuKernels::default_combine_backward(const Tensor& drows_RC, const Tensor& dprobs_NE, const Tensor& dy_NC,
                                          const Tensor& rows_RC, const Tensor& probs_NE, const Tensor& expert_ids_NK,
                                          const Tensor& positions_NK, const Tensor& default_EC) {
  const int64_t N = dy_NC.size(0), C = dy_NC.size(1), E = probs_NE.size(1), K = expert_ids_NK.size(1);
  Real *drows = drows_RC.as<Real>(), *dprobs = dprobs_NE.as<Real>();
  const Real *dy = dy_NC.as<Real>(), *rows = rows_RC.as<Real>(), *probs = probs_NE.as<Real>();
  const Real* defaults = default_EC.as<Real>();
  const int32_t *expert_ids = expert_ids_NK.as<int32_t>(), *positions = positions_NK.as<int32_t>();
  const int64_t block = block_tokens(E, C);
  parallel_ranges(threads_, N, row_grain(C * (K + E)), [=](int64_t begin, int64_t end, int) {
    for (int64_t first = begin; first < end; first += block) {
      const int64_t tokens = std::min(block, end - first);
      gemm_nt(Operands::real, tokens, E, C, dy + first * C, C, defaults, C, dprobs + first * E, E, false);
      for (int64_t slot = first * K; slot < (first + tokens) * K; ++slot) {
        const int64_t n = slot / K, row = positions[slot] * C, chosen = n * E + expert_ids[slot];
        dprobs[chosen] = combine_row_backward(drows + row, probs[chosen], dy + n * C, rows + row, C);
      }
    }
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
