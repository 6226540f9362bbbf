// Compares the default vectors with values computed by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "routing/policy_layer.h"
#include "routing/refusal.h"
#include "support/error_line.h"

namespace gptmoe {
namespace {

using nlohmann::json;

constexpr int64_t kExperts = 3, kWidth = 2;

constexpr RouterSetup kSetup{.num_experts = kExperts,
                             .num_experts_per_tok = 1,
                             .hidden_size = kWidth,
                             .norm_topk_prob = false,
                             .aux_scale = 0,
                             .z_loss_scale = 0};

// A layer of Default MoE with one expert per token.
class Layer : public PolicyLayer {
 public:
  Layer(const json& block, int64_t N, uint64_t seed = 1) : PolicyLayer({"default", block}, kSetup, N, seed) {}

  // Routes token n to expert experts[n], whose output is rows[n]; then observes.
  void micro_batch(const std::vector<int32_t>& experts, const std::vector<std::vector<float>>& rows) {
    std::vector<float> logits;
    for (size_t n = 0; n < experts.size(); ++n)
      for (int64_t e = 0; e < kExperts; ++e) logits.push_back(e == experts[n] ? score(n) : 0.0f);
    route(logits);
    EXPECT_EQ(chosen(), experts);
    for (size_t n = 0; n < experts.size(); ++n) {
      const int32_t row = routing.positions_NK.as<int32_t>()[n];
      for (int64_t c = 0; c < kWidth; ++c) rows_RC.as<float>()[row * kWidth + c] = rows[n][static_cast<size_t>(c)];
    }
    observe();
  }
  // The logit of token n's expert, and its probability; the other two logits are 0.
  static float score(size_t n) { return 0.5f * static_cast<float>(n + 1); }
  static double gate(size_t n) { return std::exp(score(n)) / (std::exp(score(n)) + 2); }

  std::vector<float> combine(int64_t N) {
    PolicyLayer::combine();
    return {y_NC.as<float>(), y_NC.as<float>() + N * kWidth};
  }

  float* default_vectors() { return state().rows().at(0).value.as<float>(); }
  void expect_vector(int64_t expert, double first, double second) {
    EXPECT_NEAR(default_vectors()[expert * kWidth], first, 1e-6) << "expert " << expert;
    EXPECT_NEAR(default_vectors()[expert * kWidth + 1], second, 1e-6) << "expert " << expert;
  }
};

const std::vector<int32_t> kChoices = {0, 1, 0};
const std::vector<std::vector<float>> kRows = {{1, 2}, {3, -4}, {5, 6}};

TEST(DefaultPolicy, MovesTowardsThePlainMean) {
  Layer layer({{"ema_beta", 0.75}, {"ema_weighting", "uniform"}}, 3);
  layer.micro_batch(kChoices, kRows);
  layer.expect_vector(0, 0.25 * 3, 0.25 * 4);
  layer.expect_vector(1, 0.25 * 3, 0.25 * -4);
  layer.expect_vector(2, 0, 0);
  layer.micro_batch(kChoices, kRows);
  layer.expect_vector(0, 0.75 * 0.75 + 0.75, 0.75 * 1 + 1);
}

TEST(DefaultPolicy, MovesTowardsTheMeanOfRowsTimesScores) {
  Layer layer({{"ema_beta", 0.5}}, 3);  // "score" is the default
  layer.micro_batch(kChoices, kRows);
  const double a = Layer::gate(0), b = Layer::gate(2), c = Layer::gate(1);
  layer.expect_vector(0, 0.5 * (a * 1 + b * 5) / 2, 0.5 * (a * 2 + b * 6) / 2);
  layer.expect_vector(1, 0.5 * c * 3, 0.5 * c * -4);
}

TEST(DefaultPolicy, MovesTowardsTheMeanWeightedByScores) {
  Layer layer({{"ema_beta", 0.5}, {"ema_weighting", "score_normalized"}}, 3);
  layer.micro_batch(kChoices, kRows);
  const double a = Layer::gate(0), b = Layer::gate(2);
  layer.expect_vector(0, 0.5 * (a * 1 + b * 5) / (a + b), 0.5 * (a * 2 + b * 6) / (a + b));
  layer.expect_vector(1, 0.5 * 3, 0.5 * -4);
}

TEST(DefaultPolicy, TheVectorOfAnExpertWithoutTokensMayDecay) {
  for (const char* update : {"forward", "step"}) {
    Layer layer({{"ema_beta", 0.5}, {"ema_update", update}, {"ema_unseen", "decay"}}, 3);
    layer.default_vectors()[2 * kWidth] = 7;
    layer.default_vectors()[2 * kWidth + 1] = -9;
    layer.micro_batch(kChoices, kRows);
    layer.end_step();
    layer.expect_vector(2, 3.5, -4.5);
  }
}

TEST(DefaultPolicy, MeasuresHowMuchOfTheOutputTheVectorsFillIn) {
  Layer layer({{"ema_beta", 0.5}, {"ema_weighting", "uniform"}}, 3);
  layer.micro_batch(kChoices, kRows);
  const std::vector<float> y = layer.combine(3);
  const auto [fill, output] = layer.fill_norms();
  double expected_fill = 0, expected_output = 0;
  for (size_t n = 0; n < 3; ++n)
    for (size_t c = 0; c < kWidth; ++c) {
      const double out = y[n * kWidth + c];
      expected_output += out * out;
      expected_fill += std::pow(out - Layer::gate(n) * kRows[n][c], 2);
    }
  EXPECT_NEAR(fill, expected_fill, 1e-5 * expected_output);
  EXPECT_NEAR(output, expected_output, 1e-5 * expected_output);
  EXPECT_GT(fill, 0.01 * output);
}

TEST(DefaultPolicy, AnExpertWithoutTokensKeepsItsVector) {
  for (const char* update : {"forward", "step"}) {
    Layer layer({{"ema_beta", 0.5}, {"ema_update", update}}, 3);
    layer.default_vectors()[2 * kWidth] = 7;
    layer.default_vectors()[2 * kWidth + 1] = -9;
    layer.micro_batch(kChoices, kRows);
    layer.end_step();
    layer.expect_vector(2, 7, -9);
  }
}

TEST(DefaultPolicy, ForwardUpdatesBeforeUse) {
  Layer layer({{"ema_beta", 0.5}, {"ema_weighting", "uniform"}}, 3);
  layer.micro_batch(kChoices, kRows);
  const std::vector<float> y = layer.combine(3);
  // Token 1 gets its own expert's row, expert 0's updated vector (1.5, 2), and nothing from expert 2.
  const double p = Layer::gate(1), q = (1 - p) / 2;
  EXPECT_NEAR(y[2], p * 3 + q * 1.5, 1e-6);
  EXPECT_NEAR(y[3], p * -4 + q * 2, 1e-6);
  layer.end_step();
  layer.expect_vector(0, 1.5, 2);
}

TEST(DefaultPolicy, StepUpdatesOnceAfterAllMicroBatches) {
  Layer layer({{"ema_beta", 0.5}, {"ema_weighting", "uniform"}, {"ema_update", "step"}}, 3);
  layer.micro_batch(kChoices, kRows);
  layer.expect_vector(0, 0, 0);
  EXPECT_NEAR(layer.combine(3)[2], Layer::gate(1) * 3, 1e-6) << "the vectors in use are still the old ones";
  layer.micro_batch({0, 2, 2}, {{9, 10}, {1, 1}, {3, 3}});
  layer.end_step();
  layer.expect_vector(0, 0.5 * (1 + 5 + 9) / 3, 0.5 * (2 + 6 + 10) / 3);
  layer.expect_vector(1, 1.5, -2);
  layer.expect_vector(2, 1, 1);
  layer.end_step();
  layer.expect_vector(0, 2.5, 3);  // nothing is pending now
}

TEST(DefaultPolicy, TwoMicroBatchesOfAStepEqualTheirUnion) {
  const json block = {{"ema_beta", 0.25}, {"ema_weighting", "uniform"}, {"ema_update", "step"}};
  Layer whole(block, 4), parts(block, 2);
  whole.micro_batch({0, 1, 1, 0}, {{1, 2}, {3, 4}, {5, 6}, {7, 8}});
  parts.micro_batch({0, 1}, {{1, 2}, {3, 4}});
  parts.micro_batch({1, 0}, {{5, 6}, {7, 8}});
  whole.end_step();
  parts.end_step();
  for (int64_t e = 0; e < kExperts; ++e)
    parts.expect_vector(e, whole.default_vectors()[e * kWidth], whole.default_vectors()[e * kWidth + 1]);
  EXPECT_NE(whole.default_vectors()[0], 0);
}

TEST(DefaultPolicy, BackwardOnlyVectorsDoNotEnterTheOutput) {
  Layer layer({{"ema_beta", 0.5}, {"default_forward", false}}, 3);
  layer.micro_batch(kChoices, kRows);
  EXPECT_NE(layer.default_vectors()[0], 0);
  EXPECT_NEAR(layer.combine(3)[2], Layer::gate(1) * 3, 1e-6);
}

TEST(DefaultPolicy, ClipLimitsAnOutlierToAMultipleOfTheMedianNorm) {
  Layer layer({{"ema_beta", 0.0}, {"ema_weighting", "uniform"}, {"ema_clip", 2.0}}, 3);
  layer.micro_batch({0, 0, 1}, {{100, 0}, {0, 1}, {1, 0}});
  layer.expect_vector(0, 0.5 * 2, 0.5);  // 100 is clipped to twice the median norm 1
  layer.expect_vector(1, 1, 0);
}

TEST(DefaultPolicy, NormalInitDependsOnlyOnTheSeed) {
  const json block = {{"ema_init", "normal"}};
  Layer a(block, 2, 7), same(block, 3, 7), other(block, 2, 8);
  constexpr size_t kBytes = kExperts * kWidth * sizeof(float);
  EXPECT_EQ(std::memcmp(a.default_vectors(), same.default_vectors(), kBytes), 0);
  EXPECT_NE(std::memcmp(a.default_vectors(), other.default_vectors(), kBytes), 0);
  Layer zeros(json::object(), 2, 7);
  zeros.expect_vector(0, 0, 0);
}

TEST(DefaultPolicy, CheckpointsHoldOnlyTheVectors) {
  Layer layer(json::object(), 2);
  for (const StateRow& row : layer.state().rows())
    EXPECT_EQ(row.persistent, row.name == "layer.default_vectors") << row.name << ": sums are zero between steps";
}

TEST(DefaultPolicy, NamesTheNewNameOfARenamedWeighting) {
  expect_contains(refusal("default", {{"ema_weighting", "router_score"}}),
                  "run.json: router.ema_weighting: \"router_score\" is now called \"score_normalized\"");
}

TEST(DefaultPolicy, RefusesValuesOutOfRange) {
  for (const auto& [key, value] : std::vector<std::pair<std::string, json>>{{"ema_beta", 1.5},
                                                                            {"ema_beta", -0.1},
                                                                            {"ema_beta", "0.9"},
                                                                            {"ema_weighting", "gate"},
                                                                            {"ema_update", "never"},
                                                                            {"ema_init", 0},
                                                                            {"default_forward", 1},
                                                                            {"ema_clip", -1}}) {
    const std::string line = refusal("default", {{key, value}});
    expect_contains(line, "run.json: router." + key + ": ");
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
}

TEST(DefaultPolicy, NeedsTheWholeSoftmax) {
  expect_contains(refusal("default", json::object(), renormalising_setup()), "needs model.norm_topk_prob = false");
  EXPECT_EQ(refusal("topk", json::object(), renormalising_setup()), "accepted");
}

}  // namespace
}  // namespace gptmoe
