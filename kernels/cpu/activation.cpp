#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"
#include "kernels/cpu/swiglu_rows.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

namespace {

void add(Real* y, const Real* a, const Real* b, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

// 0.5 * (1 + tanh(z / 2)) equals sigmoid(z). The sigmoid keeps its relative precision in the left tail. 1 - sigmoid(z)
// is computed as in swiglu_rows.h.
constexpr Real kSlope = static_cast<Real>(1.5957691216057308);  // 2 * sqrt(2 / pi)
constexpr Real kCubic = static_cast<Real>(0.044715);

void gelu_range(Real* a, const Real* h, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const Real x = h[i], z = kSlope * x * (1 + kCubic * x * x);
    a[i] = x / (1 + exp_real(-z));
  }
}

void gelu_range_backward(Real* dh, const Real* da, const Real* h, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const Real x = h[i], z = kSlope * x * (1 + kCubic * x * x), dz = kSlope * (1 + 3 * kCubic * x * x);
    const Real e = exp_real(-z), sigmoid = 1 / (1 + e);
    dh[i] = da[i] * sigmoid * (1 + x * dz * (e * sigmoid));
  }
}

}  // namespace

void CpuKernels::residual_forward(const Tensor& y, const Tensor& a, const Tensor& b) {
  const int64_t count = y.count();
  Real* out = y.as<Real>();
  const Real *left = a.as<Real>(), *right = b.as<Real>();
  parallel_ranges(threads_, count, kGrainElements,
                  [=](int64_t begin, int64_t end, int) { add(out + begin, left + begin, right + begin, end - begin); });
}

void CpuKernels::swiglu_forward(const Tensor& a_RF, const Tensor& h_R2F) {
  const int64_t R = a_RF.size(0), F = a_RF.size(1);
  Real* a = a_RF.as<Real>();
  const Real* h = h_R2F.as<Real>();
  parallel_ranges(threads_, R, row_grain(F), [=](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) swiglu_row(a + r * F, h + 2 * r * F, h + (2 * r + 1) * F, F);
  });
}

void CpuKernels::swiglu_backward(const Tensor& dh_R2F, const Tensor& da_RF, const Tensor& h_R2F) {
  const int64_t R = da_RF.size(0), F = da_RF.size(1);
  Real* dh = dh_R2F.as<Real>();
  const Real *da = da_RF.as<Real>(), *h = h_R2F.as<Real>();
  parallel_ranges(threads_, R, row_grain(F), [=](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t gate = 2 * r * F, up = gate + F;
      swiglu_row_backward(dh + gate, dh + up, da + r * F, h + gate, h + up, F);
    }
  });
}

void CpuKernels::gelu_forward(const Tensor& a_RF, const Tensor& h_RF) {
  const int64_t count = a_RF.count();
  Real* a = a_RF.as<Real>();
  const Real* h = h_RF.as<Real>();
  parallel_ranges(threads_, count, kGrainElements,
                  [=](int64_t begin, int64_t end, int) { gelu_range(a + begin, h + begin, end - begin); });
}

void CpuKernels::gelu_backward(const Tensor& dh_RF, const Tensor& da_RF, const Tensor& h_RF) {
  const int64_t count = dh_RF.count();
  Real* dh = dh_RF.as<Real>();
  const Real *da = da_RF.as<Real>(), *h = h_RF.as<Real>();
  parallel_ranges(threads_, count, kGrainElements, [=](int64_t begin, int64_t end, int) {
    gelu_range_backward(dh + begin, da + begin, h + begin, end - begin);
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
