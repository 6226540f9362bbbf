#include "model/golden_backends.h"

namespace gptmoe::testing {

std::vector<GoldenBackend> golden_backends() {
  return {{"cuda_f32", [] { return make_cuda_ops(DType::f32); }, 2e-5, 5e-5}};
}

}  // namespace gptmoe::testing
