#include "runtime/init.h"

#include "base/rng.h"

namespace gptmoe {
namespace {

template <typename Real>
void fill(const Tensor& x, const Init& init, const Rng& rng) {
  Real* out = x.as<Real>();
  const int64_t count = x.count();
  if (init.kind != Init::Kind::normal) {
    const Real constant = init.kind == Init::Kind::ones ? 1 : 0;
    for (int64_t i = 0; i < count; ++i) out[i] = constant;
    return;
  }
  const double std = init.std;
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(std * rng.normal(static_cast<uint64_t>(i)));
}

}  // namespace

void initialize_tensor(const Tensor& x, const Init& init, uint64_t seed, const std::string& name) {
  const Rng rng(seed, hash_bytes(name));
  if (x.dtype() == DType::f64)
    fill<double>(x, init, rng);
  else
    fill<float>(x, init, rng);
}

}  // namespace gptmoe
