#include <cmath>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/reduce.h"
#include "kernels/cpu/row_math.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

namespace {

Real mean_of(const Real* x, int64_t n) {
  Real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += x[i];
  return sum / static_cast<Real>(n);
}

// Subtracts the known mean first: the difference of two large sums would lose the variance of a row with a large mean.
Real variance_of(const Real* x, Real mean, int64_t n) {
  Real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += (x[i] - mean) * (x[i] - mean);
  return sum / static_cast<Real>(n);
}

void normalise_row(Real* y, const Real* x, const Real* weight, const Real* bias, Real mean, Real rstd, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - mean) * rstd * weight[i] + bias[i];
}

// With g = dy * weight and h = (x - mean) * rstd:
//   dx += rstd * (g - mean(g) - h * mean(g * h)),  dweight += dy * h,  dbias += dy.
void normalise_row_backward(Real* dx, Real* dweight, Real* dbias, const Real* dy, const Real* x, const Real* weight,
                            Real mean, Real rstd, int64_t n) {
  Real sum_g = 0, sum_gh = 0;
#pragma omp simd reduction(+ : sum_g, sum_gh)
  for (int64_t i = 0; i < n; ++i) {
    const Real g = dy[i] * weight[i];
    sum_g += g;
    sum_gh += g * ((x[i] - mean) * rstd);
  }
  const Real mean_g = sum_g / static_cast<Real>(n), mean_gh = sum_gh / static_cast<Real>(n);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const Real h = (x[i] - mean) * rstd;
    dweight[i] += dy[i] * h;
    dbias[i] += dy[i];
    dx[i] += rstd * (dy[i] * weight[i] - mean_g - h * mean_gh);
  }
}

}  // namespace

void CpuKernels::layernorm_forward(const Tensor& y_NC, const Tensor& mean_N, const Tensor& rstd_N, const Tensor& x_NC,
                                   const Tensor& weight_C, const Tensor& bias_C, double eps) {
  const int64_t N = x_NC.size(0), C = x_NC.size(1);
  Real *y = y_NC.as<Real>(), *means = mean_N.as<Real>(), *rstds = rstd_N.as<Real>();
  const Real *x = x_NC.as<Real>(), *weight = weight_C.as<Real>(), *bias = bias_C.as<Real>();
  parallel_ranges(threads_, N, row_grain(C), [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      const Real* row = x + n * C;
      means[n] = mean_of(row, C);
      rstds[n] = 1 / std::sqrt(variance_of(row, means[n], C) + static_cast<Real>(eps));
      normalise_row(y + n * C, row, weight, bias, means[n], rstds[n], C);
    }
  });
}

void CpuKernels::layernorm_backward(const Tensor& dx_NC, const Tensor& dweight_C, const Tensor& dbias_C,
                                    const Tensor& dy_NC, const Tensor& x_NC, const Tensor& weight_C,
                                    const Tensor& mean_N, const Tensor& rstd_N) {
  const int64_t N = x_NC.size(0), C = x_NC.size(1);
  Real *dx = dx_NC.as<Real>(), *dweight = dweight_C.as<Real>(), *dbias = dbias_C.as<Real>();
  const Real *dy = dy_NC.as<Real>(), *x = x_NC.as<Real>(), *weight = weight_C.as<Real>();
  const Real *mean = mean_N.as<Real>(), *rstd = rstd_N.as<Real>();
  const Real* sums = column_sums(threads_, N, row_grain(C), 2 * C, [=](int64_t begin, int64_t end, Real* partial) {
    for (int64_t n = begin; n < end; ++n)
      normalise_row_backward(dx + n * C, partial, partial + C, dy + n * C, x + n * C, weight, mean[n], rstd[n], C);
  });
  add_scaled(dweight, 1, sums, C);
  add_scaled(dbias, 1, sums + C, C);
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
