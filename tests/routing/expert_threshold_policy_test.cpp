// Compares the threshold router with values computed by hand.
#include <cmath>

#include "routing/policy_layer.h"
#include "routing/refusal.h"
#include "support/error_line.h"

namespace gptmoe {
namespace {

constexpr RouterSetup kSetup{.num_experts = 2,
                             .num_experts_per_tok = 1,
                             .hidden_size = 1,
                             .norm_topk_prob = false,
                             .aux_scale = 0,
                             .z_loss_scale = 0};
constexpr float kBin = 32.0f / 2048;

// A layer whose router warms up for one step.
class Layer : public PolicyLayer {
 public:
  explicit Layer(int64_t N)
      : PolicyLayer({"expert_threshold", nlohmann::json{{"threshold_decay", 0.5}, {"warmup_steps", 1}}}, kSetup, N) {}
  std::vector<float> thresholds() const {
    const float* values = state("gate.thresholds").as<float>();
    return {values, values + 2};
  }
};

// Logits inside the bins that start at 1, 2, 3 and 4; expert 1's are higher by 10. An expert's share is half of the
// tokens.
const std::vector<float> kRising = {1.005f, 11.005f, 2.005f, 12.005f, 3.005f, 13.005f, 4.005f, 14.005f};

TEST(ExpertThreshold, WarmUpGivesEachExpertItsShareOfTheTokens) {
  Layer layer(4);
  layer.route(kRising);
  EXPECT_EQ(layer.chosen(), (std::vector<int32_t>{-1, -1, -1, -1, 0, 1, 0, 1}));
}

TEST(ExpertThreshold, ATokenRunsTheExpertsWhoseThresholdItExceeds) {
  Layer layer(4);
  layer.route(kRising);
  layer.end_step();
  // Each second-largest logit is the only one of its bin. So the cutoff is the bin's lower edge.
  EXPECT_EQ(layer.thresholds(), (std::vector<float>{3, 13}));
  const std::vector<float> all_high = {9, 15, 9, 15, 9, 15, 3, 13};
  for (PassKind kind : {PassKind::train, PassKind::recompute, PassKind::evaluate}) {
    layer.route(all_high, kind);
    EXPECT_EQ(layer.chosen(), (std::vector<int32_t>{0, 1, 0, 1, 0, 1, -1, -1})) << "equal is not above";
  }
  std::fill_n(layer.rows_RC.as<float>(), layer.rows_RC.count(), 10.0f);
  layer.combine();
  const auto sigmoid = [](float x) { return 1 / (1 + std::exp(-x)); };
  EXPECT_NEAR(layer.y_NC.as<float>()[0], 10 * (sigmoid(9) + sigmoid(15)), 1e-5);
  EXPECT_EQ(layer.y_NC.as<float>()[3], 0) << "a token may have no expert at all";
}

// The thresholds follow the mean cutoff of the step's micro-batches. Recomputation and evaluation do not count.
TEST(ExpertThreshold, ThresholdsAreTheMovingAverageOfTheCutoffs) {
  Layer layer(2);
  const std::vector<float> one = {0, 0, 1, 2}, two = {0, 0, 3, 4}, other = {9, 9, 9, 9};
  layer.route(one);
  layer.route(two);
  layer.route(other, PassKind::recompute);
  layer.route(other, PassKind::evaluate);
  layer.end_step();
  EXPECT_EQ(layer.thresholds(), (std::vector<float>{2, 3})) << "the first step sets them";
  layer.route(two);
  layer.end_step();
  // The weight of the second step is (1 - 0.5) / (1 - 0.5^2) = 2/3.
  EXPECT_NEAR(layer.thresholds()[0], 2 + 2.0 / 3 * (3 - 2), 1e-6);
  EXPECT_NEAR(layer.thresholds()[1], 3 + 2.0 / 3 * (4 - 3), 1e-6);
}

TEST(ExpertThreshold, WarmUpComparesWithTheMicroBatchAndThenWithTheThresholds) {
  Layer layer(2);
  const std::vector<float> low = {-4, -4, -2.995f, -2.995f};
  layer.route({5, 5, 6, 6});
  layer.route(low);
  EXPECT_EQ(layer.chosen(), (std::vector<int32_t>{-1, -1, 0, 1}));
  layer.route(low, PassKind::recompute);
  EXPECT_EQ(layer.chosen(), (std::vector<int32_t>{-1, -1, 0, 1})) << "recomputation repeats the choice";
  layer.route(low, PassKind::evaluate);
  EXPECT_EQ(layer.chosen(), (std::vector<int32_t>{-1, -1, -1, -1})) << "no logit is above the threshold 0";
  layer.end_step();
  layer.route(low);
  EXPECT_EQ(layer.chosen(), (std::vector<int32_t>{-1, -1, -1, -1})) << "the thresholds are (6 - 3) / 2";
}

// Equal logits share a bin, and half of them are taken to be above its middle.
TEST(ExpertThreshold, LogitsSpreadEvenlyOverTheirBin) {
  Layer layer(2);
  layer.route({0, 0, 0, 0});
  layer.end_step();
  EXPECT_EQ(layer.thresholds(), (std::vector<float>{kBin / 2, kBin / 2}));
}

TEST(ExpertThreshold, CheckpointsHoldTheThresholdsAndTheirSteps) {
  const Layer layer(1);
  for (const StateRow& row : layer.state().rows())
    EXPECT_EQ(row.persistent, row.name == "layer.gate.thresholds" || row.name == "layer.gate.thresholds.steps")
        << row.name;
}

TEST(ExpertThreshold, HasASlotForEveryExpertAndAimsAtK) {
  EXPECT_EQ(plain_policy("expert_threshold")->experts_per_token(), 4);
  EXPECT_EQ(plain_policy("expert_threshold")->live_experts_per_token(), 2);
}

TEST(ExpertThreshold, RefusesLossesOfASoftmax) {
  const nlohmann::json nothing = nlohmann::json::object();
  for (const RouterSetup& setup : setups_with_a_loss())
    expect_contains(refusal("expert_threshold", nothing, setup), "needs model.router_aux_loss_coef = 0");
  expect_contains(refusal("expert_threshold", nothing, renormalising_setup()), "needs model.norm_topk_prob = false");
}

}  // namespace
}  // namespace gptmoe
