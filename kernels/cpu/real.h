#pragma once
// The CPU kernels are written over one floating-point type. The product compiles them over float; the tests compile the
// same sources again with GPTMOE_CPU_F64 for finite differences.
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

// e^x, written without branches or calls so that loops over it vectorise. Float: Cody-Waite reduction and a degree-6
// polynomial, within 2 ulp, 0 below -87.3 and clamped above 88.3. Double: the library's.
inline double exp_real(double x) { return std::exp(x); }
inline float exp_real(float x) {
  const float clamped = x < -87.3f ? -87.3f : (x > 88.3f ? 88.3f : x);
  const float n = __builtin_rintf(clamped * 1.44269504f);
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.3888889e-3f;
  p = p * r + 8.3333333e-3f;
  p = p * r + 4.1666668e-2f;
  p = p * r + 1.6666667e-1f;
  p = p * r + 5.0e-1f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t bits = (static_cast<int32_t>(n) + 127) << 23;
  return x < -87.3f ? 0.0f : p * __builtin_bit_cast(float, bits);
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
