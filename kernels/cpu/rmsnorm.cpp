#include <cmath>
#include <cstring>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/reduce.h"
#include "kernels/cpu/row_math.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

namespace {

// y = x * rstd * weight; returns rstd.
Real normalise_row(Real* y, const Real* x, const Real* weight, int64_t n, Real eps) {
  const Real rstd = 1 / std::sqrt(dot(x, x, n) / static_cast<Real>(n) + eps);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * rstd * weight[i];
  return rstd;
}

// With g = dy * weight and h = x * rstd, dx is set to, or increased by, rstd * (g - h * mean(g * h)); dweight += dy *
// h.
template <Write write>
void normalise_row_backward(Real* dx, Real* dweight, const Real* dy, const Real* x, const Real* weight, Real rstd,
                            int64_t n) {
  Real sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += dy[i] * weight[i] * x[i];
  const Real mean = sum * rstd / static_cast<Real>(n);
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const Real h = x[i] * rstd, g = dy[i];
    const Real gradient = rstd * (g * weight[i] - h * mean);
    dweight[i] += g * h;
    dx[i] = write == Write::add ? dx[i] + gradient : gradient;
  }
}

}  // namespace

void CpuKernels::rmsnorm_forward(const Tensor& y_NC, const Tensor& rstd_N, const Tensor& x_NC, const Tensor& weight_C,
                                 double eps) {
  const int64_t N = x_NC.size(0), C = x_NC.size(1);
  Real *y = y_NC.as<Real>(), *rstd = rstd_N.as<Real>();
  const Real *x = x_NC.as<Real>(), *weight = weight_C.as<Real>();
  parallel_ranges(threads_, N, row_grain(C), [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n)
      rstd[n] = normalise_row(y + n * C, x + n * C, weight, C, static_cast<Real>(eps));
  });
}

void CpuKernels::rmsnorm_backward(const Tensor& dx_NC, const Tensor& dweight_C, const Tensor& dy_NC, const Tensor& x_NC,
                                  const Tensor& weight_C, const Tensor& rstd_N) {
  const int64_t N = x_NC.size(0), C = x_NC.size(1);
  Real *dx = dx_NC.as<Real>(), *dweight = dweight_C.as<Real>();
  const Real *dy = dy_NC.as<Real>(), *x = x_NC.as<Real>(), *weight = weight_C.as<Real>(), *rstd = rstd_N.as<Real>();
  const Real* sums = column_sums(threads_, N, row_grain(C), C, [=](int64_t begin, int64_t end, Real* partial) {
    for (int64_t n = begin; n < end; ++n)
      normalise_row_backward<Write::add>(dx + n * C, partial, dy + n * C, x + n * C, weight, rstd[n], C);
  });
  add_scaled(dweight, 1, sums, C);
}

void CpuKernels::qk_norm_forward(const Tensor& y_BTSD, const Tensor& rstd_N2, const Tensor& qkv_BTSD,
                                 const Tensor& q_weight_HD, const Tensor& k_weight_GD, double eps) {
  const int64_t N = qkv_BTSD.size(0) * qkv_BTSD.size(1), width = qkv_BTSD.size(2) * qkv_BTSD.size(3);
  const int64_t q = q_weight_HD.count(), k = k_weight_GD.count();
  Real *y = y_BTSD.as<Real>(), *rstd = rstd_N2.as<Real>();
  const Real *qkv = qkv_BTSD.as<Real>(), *q_weight = q_weight_HD.as<Real>(), *k_weight = k_weight_GD.as<Real>();
  parallel_ranges(threads_, N, row_grain(width), [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      const Real* from = qkv + n * width;
      Real* to = y + n * width;
      rstd[2 * n] = normalise_row(to, from, q_weight, q, static_cast<Real>(eps));
      rstd[2 * n + 1] = normalise_row(to + q, from + q, k_weight, k, static_cast<Real>(eps));
      std::memcpy(to + q + k, from + q + k, k * sizeof(Real));
    }
  });
}

void CpuKernels::qk_norm_backward(const Tensor& dqkv_BTSD, const Tensor& dq_weight_HD, const Tensor& dk_weight_GD,
                                  const Tensor& dy_BTSD, const Tensor& qkv_BTSD, const Tensor& q_weight_HD,
                                  const Tensor& k_weight_GD, const Tensor& rstd_N2) {
  const int64_t N = qkv_BTSD.size(0) * qkv_BTSD.size(1), width = qkv_BTSD.size(2) * qkv_BTSD.size(3);
  const int64_t q = q_weight_HD.count(), k = k_weight_GD.count();
  Real *dqkv = dqkv_BTSD.as<Real>(), *dq_weight = dq_weight_HD.as<Real>(), *dk_weight = dk_weight_GD.as<Real>();
  const Real *dy = dy_BTSD.as<Real>(), *qkv = qkv_BTSD.as<Real>(), *rstd = rstd_N2.as<Real>();
  const Real *q_weight = q_weight_HD.as<Real>(), *k_weight = k_weight_GD.as<Real>();
  const auto body = [=](int64_t begin, int64_t end, Real* partial) {
    for (int64_t n = begin; n < end; ++n) {
      Real* dx = dqkv + n * width;
      const Real *g = dy + n * width, *x = qkv + n * width;
      normalise_row_backward<Write::assign>(dx, partial, g, x, q_weight, rstd[2 * n], q);
      normalise_row_backward<Write::assign>(dx + q, partial + q, g + q, x + q, k_weight, rstd[2 * n + 1], k);
      if (dx != g) std::memcpy(dx + q + k, g + q + k, k * sizeof(Real));
    }
  };
  const Real* sums = column_sums(threads_, N, row_grain(width), q + k, body);
  add_scaled(dq_weight, 1, sums, q);
  add_scaled(dk_weight, 1, sums + q, k);
}

void CpuKernels::head_norm_forward(const Tensor& y_BTSD, const Tensor& rstd_NW, const Tensor& qkv_BTSD,
                                   const Tensor& q_weight_D, const Tensor& k_weight_D, double eps) {
  const int64_t N = rstd_NW.size(0), W = rstd_NW.size(1), S = qkv_BTSD.size(2), D = qkv_BTSD.size(3);
  const int64_t queries = 2 * W - S;
  Real *y = y_BTSD.as<Real>(), *rstd = rstd_NW.as<Real>();
  const Real *qkv = qkv_BTSD.as<Real>(), *q_weight = q_weight_D.as<Real>(), *k_weight = k_weight_D.as<Real>();
  parallel_ranges(threads_, N, row_grain(S * D), [=](int64_t begin, int64_t end, int) {
    for (int64_t n = begin; n < end; ++n) {
      const Real* from = qkv + n * S * D;
      Real* to = y + n * S * D;
      for (int64_t h = 0; h < W; ++h)
        rstd[n * W + h] =
            normalise_row(to + h * D, from + h * D, h < queries ? q_weight : k_weight, D, static_cast<Real>(eps));
      std::memcpy(to + W * D, from + W * D, (S - W) * D * sizeof(Real));
    }
  });
}

void CpuKernels::head_norm_backward(const Tensor& dqkv_BTSD, const Tensor& dq_weight_D, const Tensor& dk_weight_D,
                                    const Tensor& dy_BTSD, const Tensor& qkv_BTSD, const Tensor& q_weight_D,
                                    const Tensor& k_weight_D, const Tensor& rstd_NW) {
  const int64_t N = rstd_NW.size(0), W = rstd_NW.size(1), S = qkv_BTSD.size(2), D = qkv_BTSD.size(3);
  const int64_t queries = 2 * W - S;
  Real *dqkv = dqkv_BTSD.as<Real>(), *dq_weight = dq_weight_D.as<Real>(), *dk_weight = dk_weight_D.as<Real>();
  const Real *dy = dy_BTSD.as<Real>(), *qkv = qkv_BTSD.as<Real>(), *rstd = rstd_NW.as<Real>();
  const Real *q_weight = q_weight_D.as<Real>(), *k_weight = k_weight_D.as<Real>();
  const auto body = [=](int64_t begin, int64_t end, Real* partial) {
    for (int64_t n = begin; n < end; ++n) {
      Real* dx = dqkv + n * S * D;
      const Real *g = dy + n * S * D, *x = qkv + n * S * D;
      for (int64_t h = 0; h < W; ++h) {
        const bool query = h < queries;
        normalise_row_backward<Write::assign>(dx + h * D, query ? partial : partial + D, g + h * D, x + h * D,
                                              query ? q_weight : k_weight, rstd[n * W + h], D);
      }
      if (dx != g) std::memcpy(dx + W * D, g + W * D, (S - W) * D * sizeof(Real));
    }
  };
  const Real* sums = column_sums(threads_, N, row_grain(S * D), 2 * D, body);
  add_scaled(dq_weight, 1, sums, D);
  add_scaled(dk_weight, 1, sums + D, D);
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
