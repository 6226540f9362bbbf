#include "analysis/analysis.h"

#include <gtest/gtest.h>

#include <cmath>

#include "analysis/analysis_fixture.h"
#include "records/record_json.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

std::vector<std::vector<double>> state_values(Model& model) {
  std::vector<std::vector<double>> values;
  for (const StateRow& row : model.gpt().state().rows()) values.push_back(download_values(host_memory(), row.value));
  return values;
}

TEST(Analysis, LeavesTheModelAsItWas) {
  Model model(tiny_config({{"router", {{"type", "default"}}}, {"train", {{"recompute", "block"}}}}));
  for (int64_t s = 0; s < 3; ++s) model.step(s);
  const auto parameters = model.parameter_bytes();
  const auto state = state_values(model);
  const Analysis analysis = analyze_quietly(model, random_batches(3), {2, 1}, {{"text", "*.bin", random_batches(2)}});
  EXPECT_EQ(analysis.domains.layers.size(), 2u);
  EXPECT_EQ(parameters, model.parameter_bytes());
  EXPECT_EQ(state, state_values(model));
  EXPECT_EQ(analysis.default_source, DefaultSource::checkpoint);
  EXPECT_TRUE(analysis.notes.empty());
  const auto& row = model.gpt().state().rows()[0];
  std::vector<double> read;
  for (const auto& vector : analysis.default_vectors.at(0)) read.insert(read.end(), vector.begin(), vector.end());
  EXPECT_EQ(read, download_values(host_memory(), row.value));
}

TEST(Analysis, RecomputationChangesNothing) {
  const Batches batches = random_batches(2);
  std::vector<std::string> results;
  for (const char* recompute : {"none", "block"}) {
    Model model(tiny_config({{"train", {{"recompute", recompute}}}}));
    results.push_back(record_json(analysis_log(analyze_quietly(model, batches, {2, 2}))).dump());
  }
  EXPECT_EQ(results[0], results[1]);
}

// The estimate is a moving average over batches 1, 2, 1, 2, ... of each expert's mean of (output times score). Batch 0
// is kept for the measurement.
TEST(Analysis, EstimatesDefaultVectorsOfATopkModel) {
  Model model(tiny_config());
  const Batches batches = random_batches(3);
  const Analysis analysis = analyze_quietly(model, batches, {1, 1});
  ASSERT_EQ(analysis.default_source, DefaultSource::estimated);
  ASSERT_EQ(analysis.notes.size(), 1u);
  expect_contains(analysis.notes[0], "estimated from 50 batches");

  std::vector<Table> expected(2, Table(5, std::vector<double>(12)));
  for (int64_t i = 0; i < 50; ++i) {
    batches.fill(model.engine, 1 + i % 2);
    model.gpt().forward(model.pass(PassKind::evaluate), model.activations());
    for (size_t l = 0; l < 2; ++l) {
      const MoeSaved& saved = model.activations().blocks[l].moe;
      const auto* offsets = saved.routing.offsets_E1.as<int64_t>();
      for (size_t e = 0; e < 5; ++e) {
        std::vector<double> sum(12);
        for (int64_t r = offsets[e]; r < offsets[e + 1]; ++r) {
          const double gate = host_value(saved.routing.gates_NK, saved.routing.slots_R.as<int32_t>()[r]);
          for (size_t c = 0; c < 12; ++c) sum[c] += gate * host_value(saved.rows_RC, r * 12 + static_cast<int64_t>(c));
        }
        const auto rows = static_cast<double>(offsets[e + 1] - offsets[e]);
        for (size_t c = 0; c < 12 && rows > 0; ++c) expected[l][e][c] += 0.1 * (sum[c] / rows - expected[l][e][c]);
      }
    }
  }
  for (size_t l = 0; l < 2; ++l)
    for (size_t e = 0; e < 5; ++e)
      EXPECT_LT(distance_between(analysis.default_vectors[l][e], expected[l][e]), 1e-4 * (1 + norm_of(expected[l][e])));
}

TEST(Analysis, CountsItsPasses) {
  Model model(tiny_config());
  int64_t last = -1, total = 0;
  analyze(model.config, model.engine, *model.ops, random_batches(3), {{"text", "*.bin", random_batches(2)}}, {9, 2},
          [&](int64_t done, int64_t all) {
            EXPECT_EQ(done, last + 1);
            last = done, total = all;
          });
  EXPECT_EQ(last, total);
  EXPECT_EQ(total, 3 + 2 + 50 + 2 * (1 + 2 * 4));
}

TEST(Analysis, LeavesOutWhatAModelDoesNotHave) {
  Model one(
      tiny_config({{"model", {{"num_experts", 1}, {"num_experts_per_tok", 1}}}, {"router", {{"type", "default"}}}}));
  const Analysis alone = analyze_quietly(one, random_batches(1), {1, 1});
  EXPECT_TRUE(alone.gradients.empty());
  ASSERT_EQ(alone.notes.size(), 1u);
  expect_contains(alone.notes[0], "A router with one expert");
  EXPECT_EQ(alone.layers[0].load, std::vector<double>{1});
  EXPECT_TRUE(record_json(analysis_log(alone))["coactivation"].is_null());

  Model normalised(tiny_config({{"model", {{"norm_topk_prob", true}}}}));
  const Analysis without = analyze_quietly(normalised, random_batches(1), {1, 1});
  EXPECT_EQ(without.default_source, DefaultSource::none);
  expect_contains(without.notes.at(0), "norm_topk_prob");
  EXPECT_EQ(without.gradients.size(), 8u);  // TopK, two scopes, K = 1 ... 4
  const json written = record_json(analysis_log(without));
  EXPECT_TRUE(written["default_vectors"].is_null());
  EXPECT_TRUE(written["default_error"].is_null());

  Model dense(tiny_config({{"router", {{"type", "dense"}}}}));
  EXPECT_EQ(analyze_quietly(dense, random_batches(1), {1, 1}).experts_per_token, 5);
}

TEST(AnalysisJson, HasEveryTable) {
  Model model(tiny_config({{"router", {{"type", "default"}}}}));
  model.step(0);
  const json written = record_json(analysis_log(analyze_quietly(model, random_batches(2), {2, 2})));
  EXPECT_EQ(written["experts"], 5);
  EXPECT_EQ(written["experts_per_token"], 2);
  EXPECT_EQ(written["routing_batches"], 2);
  EXPECT_EQ(written["router_entropy"].size(), 2u);
  const auto expect_shape = [&](const json& table, std::initializer_list<size_t> sizes) {
    const json* at = &table;
    for (const size_t size : sizes) {
      ASSERT_EQ(at->size(), size) << table;
      at = &at->front();
    }
  };
  expect_shape(written["expert_load"], {2, 5});
  expect_shape(written["coactivation"], {2, 5, 5});
  expect_shape(written["default_vectors"]["cosine"], {2, 5, 5});
  expect_shape(written["default_vectors"]["norm"], {2, 5});
  expect_shape(written["default_vectors"]["mean_cosine"], {2});
  for (const char* group : {"chosen", "others"})
    for (const char* field : {"error", "expert_norm"}) expect_shape(written["default_error"][group][field], {2, 5});
  ASSERT_EQ(written["gradient_similarity"].size(), 16u);
  const json& first = written["gradient_similarity"][0];
  EXPECT_EQ(first["method"], "topk");
  EXPECT_EQ(first["scope"], "router");
  EXPECT_EQ(first["experts_per_token"], 1);
  expect_shape(first["cosine"], {2});
  EXPECT_TRUE(first["cosine"][0]["mean"].is_number());
  EXPECT_TRUE(first["norm_ratio"][0]["std"].is_number());
}

}  // namespace
}  // namespace gptmoe::testing
