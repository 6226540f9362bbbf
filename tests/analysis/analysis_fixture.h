#pragma once
#include "analysis/analysis.h"
#include "support/error_line.h"
#include "support/model_fixture.h"

namespace gptmoe::testing {

// Random batches, the same for every engine.
inline Batches random_batches(int64_t count) {
  return {count, [](Engine& engine, int64_t batch) {
            random_batch(engine.batch_tokens_BT(), engine.batch_targets_BT(), engine.gpt().config().vocab_size,
                         static_cast<uint64_t>(batch));
            engine.upload_batch();
          }};
}

inline Analysis analyze_quietly(Model& model, const Batches& batches, const AnalysisOptions& options,
                                const std::vector<Domain>& domains = {}) {
  return analyze(model.config, model.engine, *model.ops, batches, domains, options, [](int64_t, int64_t) {});
}

// A tensor in host memory that owns its elements.
template <typename T>
struct Held {
  std::vector<T> values;
  Tensor tensor;
  Held(std::vector<T> v, std::initializer_list<int64_t> sizes) : values(std::move(v)) {
    tensor = Tensor(values.data(), DTypeOf<T>::value, sizes);
    GPTMOE_CHECK(tensor.count() == std::ssize(values));
  }
};

inline std::vector<double> uniform_values(size_t count, uint64_t stream) {
  const Rng rng(17, stream);
  std::vector<double> values;
  for (uint64_t i = 0; i < count; ++i) values.push_back(2 * rng.uniform(i) - 1);
  return values;
}

inline const GradientSimilarity& similarity(const std::vector<GradientSimilarity>& all, Scope scope, Method method,
                                            int64_t K) {
  for (const GradientSimilarity& one : all)
    if (one.scope == scope && one.method == method && one.experts_per_token == K) return one;
  throw std::runtime_error("no such similarity");
}

}  // namespace gptmoe::testing
