#include <algorithm>

#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/row_math.h"
#include "kernels/cpu/thread_buffer.h"
#include "kernels/cpu/vector.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {
namespace {

// Sets out (D) to one query's attention to `seen` keys. Rows of keys are `stride` elements apart, and so are rows of
// values. `weights` has room for `seen` numbers.
void attend(Real* out, const Real* query, const Real* keys, const Real* values, int64_t stride, int64_t seen, int64_t D,
            Real* weights) {
  const Real scale = Real{1} / std::sqrt(static_cast<Real>(D));
  for (int64_t x = 0; x < seen; ++x) weights[x] = dot(query, keys + x * stride, D);
  exp_in_place(weights, seen, scale, scale * max_of(weights, seen));
  std::fill_n(out, D, Real{0});
  add_weighted_rows(out, D, weights, seen, [=](int64_t x) { return values + x * stride; });
  const Real inverse = Real{1} / sum_of(weights, seen);
  for (int64_t d = 0; d < D; ++d) out[d] *= inverse;
}

}  // namespace

void CpuKernels::cache_keys_values(const Tensor& kv_BX2GD, const Tensor& qkv_BTSD, int64_t first) {
  const int64_t X = kv_BX2GD.size(1), B = qkv_BTSD.size(0), T = qkv_BTSD.size(1);
  const int64_t width = kv_BX2GD.size(2) * kv_BX2GD.size(3), qkv_width = qkv_BTSD.size(2) * qkv_BTSD.size(3);
  for (int64_t b = 0; b < B; ++b)
    for (int64_t t = 0; t < T; ++t)
      std::copy_n(qkv_BTSD.as<Real>() + (b * T + t + 1) * qkv_width - width, width,
                  kv_BX2GD.as<Real>() + (b * X + first + t) * width);
}

void CpuKernels::cached_attention(const Tensor& out_BTHD, const Tensor& qkv_BTSD, const Tensor& kv_BX2GD,
                                  int64_t first) {
  const int64_t B = out_BTHD.size(0), T = out_BTHD.size(1), H = out_BTHD.size(2), D = out_BTHD.size(3);
  const int64_t S = qkv_BTSD.size(2), X = kv_BX2GD.size(1), G = kv_BX2GD.size(2) / 2, longest = first + T;
  Real* out = out_BTHD.as<Real>();
  const Real *qkv = qkv_BTSD.as<Real>(), *kv = kv_BX2GD.as<Real>();
  parallel_ranges(threads_, B * T * H, row_grain(2 * longest * D), [=](int64_t begin, int64_t end, int) {
    static thread_local ThreadBuffer buffer;
    Real* weights = buffer.get(longest);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t n = unit / H, h = unit % H, b = n / T;
      const Real* keys = kv + (b * X * 2 * G + h / (H / G)) * D;
      attend(out + unit * D, qkv + (n * S + h) * D, keys, keys + G * D, 2 * G * D, first + n % T + 1, D, weights);
    }
  });
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
