#include <cmath>
#include <cstring>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/reduce.h"
#include "kernels/cpu/row_math.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

namespace {

void momentum_range(Real* u, Real* m, const Real* grad, Real scale, Real momentum, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const Real g = scale * grad[i];
    m[i] = momentum * m[i] + g;
    u[i] = g + momentum * m[i];
  }
}

double squares_of(const Real* x, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

// y = alpha a + beta b; y may be a or b.
void weighted_sum_range(Real* y, const Real* a, const Real* b, Real alpha, Real beta, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = alpha * a[i] + beta * b[i];
}

void scale_range(Real* y, const Real* x, Real factor, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) y[i] = factor * x[i];
}

void update_range(Real* master, const Real* update, Real step, Real decay, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) master[i] -= step * update[i] + decay * master[i];
}

}  // namespace

void CpuKernels::muon_momentum(const Tensor& u, const Tensor& m, const Tensor& grad, const Tensor& scale_1,
                               double momentum) {
  const Real scale = *scale_1.as<Real>();
  if (std::isnan(scale)) return zero(u);
  Real *out = u.as<Real>(), *means = m.as<Real>();
  const Real* grads = grad.as<Real>();
  parallel_ranges(threads_, u.count(), kGrainElements, [=](int64_t begin, int64_t end, int) {
    momentum_range(out + begin, means + begin, grads + begin, scale, static_cast<Real>(momentum), end - begin);
  });
}

void CpuKernels::matrix_normalize(const Tensor& x_EOI, const Tensor& u_EOI) {
  const int64_t E = u_EOI.size(0), size = u_EOI.row_count();
  Real* out = x_EOI.as<Real>();
  const Real* in = u_EOI.as<Real>();
  for (int64_t e = 0; e < E; ++e) {
    const Real* matrix = in + e * size;
    const double squares = chunked_sum(
        threads_, size, 1, [=](int64_t begin, int64_t end) { return squares_of(matrix + begin, end - begin); });
    const auto factor = static_cast<Real>(1 / (std::sqrt(squares) + 1e-7));
    Real* normal = out + e * size;
    parallel_ranges(threads_, size, kGrainElements, [=](int64_t begin, int64_t end, int) {
      scale_range(normal + begin, matrix + begin, factor, end - begin);
    });
  }
}

void CpuKernels::weighted_sum(const Tensor& y, const Tensor& a, const Tensor& b, double alpha, double beta) {
  Real* out = y.as<Real>();
  const Real *left = a.as<Real>(), *right = b.as<Real>();
  parallel_ranges(threads_, y.count(), kGrainElements, [=](int64_t begin, int64_t end, int) {
    weighted_sum_range(out + begin, left + begin, right + begin, static_cast<Real>(alpha), static_cast<Real>(beta),
                       end - begin);
  });
}

void CpuKernels::muon_update(const Tensor& param, const Tensor& master, const Tensor& update, const Tensor& scale_1,
                             const Tensor& rates_3, double step, double weight_decay) {
  if (std::isnan(*scale_1.as<Real>())) return;
  const Real rate = rates_3.as<Real>()[0];
  const Real steps = rate * static_cast<Real>(step), decay = rate * static_cast<Real>(weight_decay);
  Real *params = param.as<Real>(), *masters = master.present() ? master.as<Real>() : params;
  const Real* updates = update.as<Real>();
  parallel_ranges(threads_, param.count(), kGrainElements, [=](int64_t begin, int64_t end, int) {
    update_range(masters + begin, updates + begin, steps, decay, end - begin);
    if (masters != params) std::memcpy(params + begin, masters + begin, (end - begin) * sizeof(Real));
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
