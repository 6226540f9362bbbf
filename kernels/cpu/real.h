#pragma once
// The CPU kernels are written for one floating-point type, Real. It is float in the program. For finite differences,
// the tests compile the same sources again with GPTMOE_CPU_F64, and Real is double.
#include <cmath>
#include <cstdint>

#ifdef GPTMOE_CPU_F64
#define GPTMOE_CPU_NAMESPACE cpu_f64
#else
#define GPTMOE_CPU_NAMESPACE cpu_f32
#endif

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

#ifdef GPTMOE_CPU_F64
using Real = double;
#else
using Real = float;
#endif

// e^x. The float version uses Cody-Waite reduction and a degree-6 minimax polynomial, without branches or calls, so
// that loops over it vectorise. Its relative error is below 8e-8 over all floats. The result is 0 below -87.3 and
// 2.2e38 above 88.3, and NaN stays NaN. The double version is the library's e^x, clamped above 700. Neither version
// returns infinity for a number, so e^-x / (1 + e^-x) is never inf / inf.
inline double exp_real(double x) { return std::exp(x > 700.0 ? 700.0 : x); }
inline float exp_real(float x) {
  const float clamped = x < -87.3f ? -87.3f : (x > 88.3f ? 88.3f : x);
  // Adding 1.5 * 2^23 rounds to an integer, which is then also in the low bits of the sum.
  const float shifted = clamped * 1.44269504f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.38145400e-3f;
  p = p * r + 8.36874512e-3f;
  p = p * r + 4.16683908e-2f;
  p = p * r + 1.66665204e-1f;
  p = p * r + 4.99999934e-1f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t exponent = (__builtin_bit_cast(int32_t, shifted) + 127) << 23;
  return x < -87.3f ? 0.0f : p * __builtin_bit_cast(float, exponent);
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
