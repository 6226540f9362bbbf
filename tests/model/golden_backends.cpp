#include "model/golden_backends.h"

namespace gptmoe::testing {

// The CPU backend in float, as gptmoe runs it, and in double, from the same sources.
std::vector<GoldenBackend> golden_backends() {
  return {{"f32", [] { return make_cpu_ops(); }, 1e-5, 1e-5}, {"f64", [] { return make_cpu_ops_f64(); }, 1e-6, 1e-6}};
}

}  // namespace gptmoe::testing
