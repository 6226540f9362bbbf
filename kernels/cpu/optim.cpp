#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/bf16.h"
#include "kernels/block_code.h"
#include "kernels/cpu/cpu_kernels.h"
#include "kernels/cpu/reduce.h"
#include "kernels/cpu/row_math.h"
#include "kernels/draws.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

namespace {

constexpr int64_t kGrainBytes = kGrainElements * static_cast<int64_t>(sizeof(float));
using Bits = std::conditional_t<sizeof(Real) == 4, uint32_t, uint64_t>;  // of a Real

double sum_of(const Real* x, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]);
  return sum;
}

double sum_of_squares(const Real* x, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

// Tests the bits, because a compiler may assume that no float is infinite or NaN. The exponent bits of infinities and
// NaNs are all ones.
int64_t nonfinite_in(const Real* x, int64_t n) {
  const Bits exponent = __builtin_bit_cast(Bits, std::numeric_limits<Real>::infinity());
  int64_t count = 0;
#pragma omp simd reduction(+ : count)
  for (int64_t i = 0; i < n; ++i) count += (__builtin_bit_cast(Bits, x[i]) & exponent) == exponent;
  return count;
}

int64_t nonfinite_in(const uint16_t* bf16, int64_t n) {
  int64_t count = 0;
#pragma omp simd reduction(+ : count)
  for (int64_t i = 0; i < n; ++i) count += (bf16[i] & 0x7F80) == 0x7F80;
  return count;
}

void round_range(uint16_t* out, const Real* x, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = bf16_bits(static_cast<float>(x[i]));
}

void widen_range(Real* out, const uint16_t* x, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) out[i] = bf16_value(x[i]);
}

// Element i of these n uses the draw with the number first + i.
void round_randomly_range(uint16_t* out, const Real* x, uint64_t first, uint32_t key, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i)
    out[i] =
        randomly_rounded(__builtin_bit_cast(uint32_t, static_cast<float>(x[i])), first + static_cast<uint64_t>(i), key);
}

constexpr Bits kMagnitude = ~Bits{0} >> 1;

// The bits of the largest magnitude. As bits, NaN is larger than infinity, and infinity larger than any number.
Bits largest_magnitude(const Real* x, int64_t n) {
  Bits largest = 0;
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, __builtin_bit_cast(Bits, x[i]) & kMagnitude);
  return largest;
}

using Fractions = std::array<Real, 256>;  // by code

Fractions fractions(bool has_sign) {
  Fractions by_code;
  for (size_t i = 0; i < by_code.size(); ++i) {
    const auto code = static_cast<uint8_t>(i);
    by_code[i] = static_cast<Real>(has_sign ? element_fraction<true>(code) : element_fraction<false>(code));
  }
  return by_code;
}

template <bool kHasSign>
void encode_range(uint8_t* codes, const Real* x, Real scale, const Real* by_code, uint64_t first, uint32_t key,
                  int64_t n) {
  const Real inverse = 1 / scale;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i)
    codes[i] = element_code<kHasSign>(x[i], scale, inverse, rounding_draw(first + static_cast<uint64_t>(i), key),
                                      [=](uint32_t code) { return by_code[code]; });
}

// Encodes one block of n elements and returns its scale.
Real encode_block(uint8_t* codes, const Real* x, bool has_sign, const Real* by_code, uint64_t first, uint32_t key,
                  int64_t n) {
  const Bits bits = largest_magnitude(x, n);
  const Real largest = __builtin_bit_cast(Real, bits);
  const bool finite = bits < __builtin_bit_cast(Bits, std::numeric_limits<Real>::infinity());
  if (!finite || largest < static_cast<Real>(kLeastScale)) {
    std::memset(codes, 0, static_cast<size_t>(n));
    return finite ? 0 : largest;
  }
  if (has_sign)
    encode_range<true>(codes, x, largest, by_code, first, key, n);
  else
    encode_range<false>(codes, x, largest, by_code, first, key, n);
  return largest;
}

void decode_range(Real* x, const uint8_t* codes, const Fractions& by_code, Real scale, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] = by_code[codes[i]] * scale;
}

// The scalars that one update uses.
struct AdamwNumbers {
  Real scale, keep_m, take_m, keep_v, take_v, rate, inverse_v_correction, eps, decay;
};

void adamw_range(Real* master, Real* m, Real* v, const Real* grad, const AdamwNumbers& numbers, int64_t n) {
  const AdamwNumbers a = numbers;
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const Real g = a.scale * grad[i];
    m[i] = a.keep_m * m[i] + a.take_m * g;
    v[i] = a.keep_v * v[i] + a.take_v * (g * g);
    master[i] -= a.rate * m[i] / (std::sqrt(v[i] * a.inverse_v_correction) + a.eps) + a.decay * master[i];
  }
}

void average_range(Real* average, const Real* x, Real keep, Real take, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) average[i] = keep * average[i] + take * x[i];
}

}  // namespace

void CpuKernels::zero(const Tensor& x) {
  char* bytes = static_cast<char*>(x.data());
  parallel_ranges(threads_, x.bytes(), kGrainBytes,
                  [=](int64_t begin, int64_t end, int) { std::memset(bytes + begin, 0, end - begin); });
}

void CpuKernels::copy(const Tensor& out, const Tensor& x) {
  char* to = static_cast<char*>(out.data());
  const char* from = static_cast<const char*>(x.data());
  parallel_ranges(threads_, x.bytes(), kGrainBytes,
                  [=](int64_t begin, int64_t end, int) { std::memcpy(to + begin, from + begin, end - begin); });
}

void CpuKernels::cast(const Tensor& out, const Tensor& x) {
  const bool widens = x.dtype() == DType::bf16;
  Real* const wide = widens ? out.as<Real>() : x.as<Real>();
  auto* const narrow = static_cast<uint16_t*>(widens ? x.data() : out.data());
  parallel_ranges(threads_, x.count(), kGrainElements, [=](int64_t begin, int64_t end, int) {
    if (widens)
      widen_range(wide + begin, narrow + begin, end - begin);
    else
      round_range(narrow + begin, wide + begin, end - begin);
  });
}

void CpuKernels::round_randomly(const Tensor& out, const Tensor& x, const Tensor& step_1, int64_t first,
                                int64_t stream) {
  const uint32_t key = rounding_key(static_cast<uint32_t>(*step_1.as<Real>()), static_cast<uint32_t>(stream));
  auto* const rounded = static_cast<uint16_t*>(out.data());
  const Real* const values = x.as<Real>();
  parallel_ranges(threads_, x.count(), kGrainElements, [=](int64_t begin, int64_t end, int) {
    round_randomly_range(rounded + begin, values + begin, static_cast<uint64_t>(first + begin), key, end - begin);
  });
}

void CpuKernels::encode_blocks(const Tensor& codes, const Tensor& scales, const Tensor& x, const Tensor& step_1,
                               int64_t first, int64_t stream, bool has_sign) {
  const uint32_t key = rounding_key(static_cast<uint32_t>(*step_1.as<Real>()), static_cast<uint32_t>(stream));
  const Fractions by_code = fractions(has_sign);
  auto* const to = codes.as<uint8_t>();
  auto* const scale_of = scales.as<Real>();
  const Real* const values = x.as<Real>();
  const int64_t count = x.count();
  parallel_ranges(threads_, scales.count(), kGrainElements / kBlockElements, [&](int64_t begin, int64_t end, int) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t at = block * kBlockElements, n = std::min(kBlockElements, count - at);
      scale_of[block] =
          encode_block(to + at, values + at, has_sign, by_code.data(), static_cast<uint64_t>(first + at), key, n);
    }
  });
}

void CpuKernels::decode_blocks(const Tensor& x, const Tensor& codes, const Tensor& scales, bool has_sign) {
  const Fractions by_code = fractions(has_sign);
  auto* const values = x.as<Real>();
  const auto* const from = codes.as<uint8_t>();
  const Real* const scale_of = scales.as<Real>();
  const int64_t count = x.count();
  parallel_ranges(threads_, scales.count(), kGrainElements / kBlockElements, [&](int64_t begin, int64_t end, int) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t at = block * kBlockElements, n = std::min(kBlockElements, count - at);
      decode_range(values + at, from + at, by_code, scale_of[block], n);
    }
  });
}

void CpuKernels::accumulate_sum(const Tensor& sum_1, const Tensor& x) {
  const Real* values = x.as<Real>();
  *sum_1.as<Real>() += static_cast<Real>(chunked_sum(
      threads_, x.count(), 1, [=](int64_t begin, int64_t end) { return sum_of(values + begin, end - begin); }));
}

void CpuKernels::squared_norm(const Tensor& sum_1, const Tensor& x) {
  const Real* values = x.as<Real>();
  *sum_1.as<Real>() = static_cast<Real>(chunked_sum(
      threads_, x.count(), 1, [=](int64_t begin, int64_t end) { return sum_of_squares(values + begin, end - begin); }));
}

void CpuKernels::clip_scale(const Tensor& scale_1, const Tensor& squared_norm_1, const Tensor& loss_1,
                            double max_norm) {
  Real& scale = *scale_1.as<Real>();
  const Real squared = *squared_norm_1.as<Real>();
  const double norm = std::sqrt(static_cast<double>(squared));
  if (std::isnan(scale) || !std::isfinite(squared) || !std::isfinite(*loss_1.as<Real>()))
    scale = std::numeric_limits<Real>::quiet_NaN();
  else
    scale = static_cast<Real>(max_norm > 0 && norm > max_norm ? max_norm / norm : 1.0);
}

void CpuKernels::adamw(const Tensor& param, const Tensor& master, const Tensor& m, const Tensor& v, const Tensor& grad,
                       const Tensor& scale_1, const Tensor& rates_3, const AdamwConstants& constants) {
  const int64_t count = param.count();
  const Real* rates = rates_3.as<Real>();
  const AdamwNumbers numbers{
      .scale = *scale_1.as<Real>(),
      .keep_m = static_cast<Real>(constants.beta1),
      .take_m = static_cast<Real>(1 - constants.beta1),
      .keep_v = static_cast<Real>(constants.beta2),
      .take_v = static_cast<Real>(1 - constants.beta2),
      .rate = rates[1] * static_cast<Real>(constants.learning_rate_scale),
      .inverse_v_correction = rates[2],
      .eps = static_cast<Real>(constants.eps),
      .decay = rates[0] * static_cast<Real>(constants.learning_rate_scale * constants.weight_decay)};
  if (std::isnan(numbers.scale)) return;
  Real *params = param.as<Real>(), *masters = master.present() ? master.as<Real>() : params, *means = m.as<Real>(),
       *squares = v.as<Real>();
  const Real* grads = grad.as<Real>();
  parallel_ranges(threads_, count, kGrainElements, [=](int64_t begin, int64_t end, int) {
    adamw_range(masters + begin, means + begin, squares + begin, grads + begin, numbers, end - begin);
    if (masters != params) std::memcpy(params + begin, masters + begin, (end - begin) * sizeof(Real));
  });
}

void CpuKernels::moving_average(const Tensor& average, const Tensor& x, const Tensor& keep_1) {
  Real* const averages = average.as<Real>();
  const Real* const values = x.as<Real>();
  const Real keep = *keep_1.as<Real>(), take = 1 - keep;
  parallel_ranges(threads_, average.count(), kGrainElements, [=](int64_t begin, int64_t end, int) {
    average_range(averages + begin, values + begin, keep, take, end - begin);
  });
}

int64_t CpuKernels::count_nonfinite(const Tensor& x) {
  const auto count = [&](const auto* values) {
    return static_cast<int64_t>(chunked_sum(threads_, x.count(), 1, [=](int64_t begin, int64_t end) {
      return static_cast<double>(nonfinite_in(values + begin, end - begin));
    }));
  };
  return x.dtype() == DType::bf16 ? count(static_cast<const uint16_t*>(x.data())) : count(x.as<Real>());
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
