#include <cmath>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

namespace {

void rotate_head(Real* low, Real* high, const Real* cosines, const Real* sines, Real direction, int64_t P) {
#pragma omp simd
  for (int64_t p = 0; p < P; ++p) {
    const Real a = low[p], b = high[p], c = cosines[p], d = sines[p] * direction;
    low[p] = a * c - b * d;
    high[p] = b * c + a * d;
  }
}

// Rotates the first `rotated` heads of every token by the tables' angles times `direction` (1 or -1).
void rotate(int threads, const Tensor& qkv_BTSD, const Tensor& cos_TP, const Tensor& sin_TP, int64_t rotated,
            const Tensor& starts_BT, Real direction) {
  const int64_t T = qkv_BTSD.size(1), N = qkv_BTSD.size(0) * T, S = qkv_BTSD.size(2), D = qkv_BTSD.size(3), P = D / 2;
  Real* qkv = qkv_BTSD.as<Real>();
  const Real *cos_table = cos_TP.as<Real>(), *sin_table = sin_TP.as<Real>();
  const int32_t* starts = starts_BT.present() ? starts_BT.as<int32_t>() : nullptr;
  parallel_ranges(threads, N, row_grain(rotated * D + 1), [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      const int64_t position = n % T - (starts ? starts[n] : 0);
      const Real *cosines = cos_table + position * P, *sines = sin_table + position * P;
      for (int64_t s = 0; s < rotated; ++s) {
        Real* head = qkv + (n * S + s) * D;
        rotate_head(head, head + P, cosines, sines, direction, P);
      }
    }
  });
}

}  // namespace

void CpuKernels::rope_tables(const Tensor& cos_TP, const Tensor& sin_TP, double theta) {
  const int64_t T = cos_TP.size(0), P = cos_TP.size(1);
  Real *cosines = cos_TP.as<Real>(), *sines = sin_TP.as<Real>();
  for (int64_t p = 0; p < P; ++p) {
    const double frequency = std::pow(theta, -static_cast<double>(p) / static_cast<double>(P));
    for (int64_t t = 0; t < T; ++t) {
      const double angle = static_cast<double>(t) * frequency;
      cosines[t * P + p] = static_cast<Real>(std::cos(angle));
      sines[t * P + p] = static_cast<Real>(std::sin(angle));
    }
  }
}

void CpuKernels::document_starts(const Tensor& starts_BT, const Tensor& tokens_BT, int64_t end) {
  const int64_t B = tokens_BT.size(0), T = tokens_BT.size(1);
  const auto* tokens = tokens_BT.as<int32_t>();
  auto* starts = starts_BT.as<int32_t>();
  for (int64_t b = 0; b < B; ++b) {
    int32_t start = 0;
    for (int64_t t = 0; t < T; ++t) {
      starts[b * T + t] = start;
      if (tokens[b * T + t] == end) start = static_cast<int32_t>(t + 1);
    }
  }
}

void CpuKernels::rope_forward(const Tensor& qkv_BTSD, const Tensor& cos_TP, const Tensor& sin_TP, int64_t rotated,
                              const Tensor& starts_BT) {
  rotate(threads_, qkv_BTSD, cos_TP, sin_TP, rotated, starts_BT, 1);
}

void CpuKernels::rope_backward(const Tensor& dqkv_BTSD, const Tensor& cos_TP, const Tensor& sin_TP, int64_t rotated,
                               const Tensor& starts_BT) {
  rotate(threads_, dqkv_BTSD, cos_TP, sin_TP, rotated, starts_BT, -1);
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
