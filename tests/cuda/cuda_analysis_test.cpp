// Compares the analysis of a model on a GPU with that on the CPU.
#include <gtest/gtest.h>

#include <cmath>

#include "analysis/analysis_fixture.h"
#include "cuda/device.h"
#include "records/record_json.h"

namespace gptmoe::testing {
namespace {

Analysis analyze_on(std::unique_ptr<Ops> ops, const Config& config) {
  Engine engine(config, Purpose::forward, 2, 7, *ops);
  engine.commit(*ops);
  engine.gpt().initialize(ops->memory(), 1);
  const GuardedDeviceMemory guard;
  const Batches second_batch = {1, [](Engine& to, int64_t) { random_batches(2).fill(to, 1); }};
  const std::vector<Domain> domains = {{"a", "a.bin", random_batches(1)}, {"b", "b.bin", second_batch}};
  return analyze(config, engine, *ops, random_batches(2), domains, {2, 2}, [](int64_t, int64_t) {});
}

// Expects two nested JSON values to agree: both null, or numbers within `tolerance`.
void expect_near(const nlohmann::ordered_json& actual, const nlohmann::ordered_json& expected, double tolerance) {
  ASSERT_EQ(actual.is_structured(), expected.is_structured());
  if (expected.is_structured()) {
    ASSERT_EQ(actual.size(), expected.size());
    for (auto a = actual.begin(), e = expected.begin(); e != expected.end(); ++a, ++e) expect_near(*a, *e, tolerance);
  } else if (expected.is_number()) {
    ASSERT_TRUE(actual.is_number());
    EXPECT_NEAR(actual.get<double>(), expected.get<double>(), tolerance * (1 + std::abs(expected.get<double>())));
  } else {
    EXPECT_EQ(actual, expected);
  }
}

TEST(CudaAnalysis, AgreesWithTheCpu) {
  const nlohmann::json filled = {{"type", "default"}, {"ema_init", "normal"}};
  for (const nlohmann::json& router : {nlohmann::json{{"type", "topk"}}, filled}) {
    const Config config = tiny_config({{"router", router}, {"model", {{"hidden_size", 24}, {"head_dim", 8}}}});
    const nlohmann::ordered_json expected = record_json(analysis_log(analyze_on(make_cpu_ops(), config)));
    expect_near(record_json(analysis_log(analyze_on(make_cuda_ops(DType::f32), config))), expected, 1e-3);
    if (router != filled) continue;  // bf16 only for the default router, which runs all of TopK's code
    const nlohmann::ordered_json rounded = record_json(analysis_log(analyze_on(make_cuda_ops(DType::bf16), config)));
    expect_near(rounded["router_entropy"], expected["router_entropy"], 2e-2);
    EXPECT_EQ(rounded["gradient_similarity"].size(), expected["gradient_similarity"].size());
    for (const auto& one : rounded["gradient_similarity"])
      for (const auto& cosine : one["cosine"]) EXPECT_TRUE(cosine["mean"].is_number());
  }
}

}  // namespace
}  // namespace gptmoe::testing
