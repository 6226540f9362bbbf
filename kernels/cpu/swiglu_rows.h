#pragma once
#include "kernels/cpu/real.h"

namespace gptmoe::GPTMOE_CPU_NAMESPACE {

// With e = exp(-x): sigmoid(x) = 1 / (1 + e), and 1 - sigmoid(x) = e * sigmoid(x) without cancellation.
inline void swiglu_row(Real* a, const Real* gate, const Real* up, int64_t F) {
#pragma omp simd
  for (int64_t f = 0; f < F; ++f) a[f] = gate[f] * up[f] / (1 + exp_real(-gate[f]));
}

// dgate may alias gate, and dup may alias up.
inline void swiglu_row_backward(Real* dgate, Real* dup, const Real* da, const Real* gate, const Real* up, int64_t F) {
#pragma omp simd
  for (int64_t f = 0; f < F; ++f) {
    const Real g = gate[f], e = exp_real(-g), sigmoid = 1 / (1 + e), d = da[f] * sigmoid;
    dgate[f] = d * up[f] * (1 + g * (e * sigmoid));
    dup[f] = d * g;
  }
}

}  // namespace gptmoe::GPTMOE_CPU_NAMESPACE
