// Compares the ReLU router with values computed by hand.
#include <cmath>

#include "routing/policy_layer.h"
#include "routing/refusal.h"
#include "support/error_line.h"

namespace gptmoe {
namespace {

constexpr RouterSetup kSetup{.num_experts = 3,
                             .num_experts_per_tok = 1,
                             .hidden_size = 1,
                             .norm_topk_prob = false,
                             .aux_scale = 0,
                             .z_loss_scale = 0};

class Layer : public PolicyLayer {
 public:
  explicit Layer(int64_t N)
      : PolicyLayer({"remoe", nlohmann::json{{"l1_coefficient", 1.0}, {"l1_factor", 2.0}}}, kSetup, N) {}
  float lambda() const { return *state("model.l1_coefficient").as<float>(); }
};

TEST(Remoe, RunsTheExpertsWithAGateAboveZero) {
  Layer layer(3);
  layer.route({0.5f, -1, 2, -3, 0, -0.5f, -1, 4, 0});
  EXPECT_EQ(layer.chosen(), (std::vector<int32_t>{0, -1, 2, -1, -1, -1, -1, 1, -1}));
  const int64_t* offsets = layer.routing.offsets_E1.as<int64_t>();
  EXPECT_EQ((std::vector<int64_t>{offsets, offsets + 4}), (std::vector<int64_t>{0, 1, 2, 3}));
  float* rows = layer.rows_RC.as<float>();
  std::fill(rows, rows + layer.rows_RC.count(), std::nanf(""));
  rows[0] = 10, rows[1] = 20, rows[2] = 30;
  layer.combine();
  const float* y = layer.y_NC.as<float>();
  EXPECT_EQ(y[0], 0.5f * 10 + 2 * 30);
  EXPECT_EQ(y[1], 0) << "a token may have no expert at all";
  EXPECT_EQ(y[2], 4 * 20);
}

// Lambda moves once per step: up if the step's micro-batches together use more than K experts per token, down if they
// use fewer.
TEST(Remoe, LambdaFollowsTheNumberOfExpertsInUse) {
  Layer layer(1);
  const std::vector<float> none = {-1, -1, -1}, one = {1, -1, -1}, all = {1, 1, 1};
  const auto step = [&](const std::vector<std::vector<float>>& micro_batches) {
    for (const std::vector<float>& logits : micro_batches) {
      layer.route(logits);
      layer.observe();
      layer.route(all, PassKind::recompute);  // not counted
    }
    layer.end_step();
    return layer.lambda();
  };
  EXPECT_EQ(layer.lambda(), 1);
  EXPECT_EQ(step({all, none}), 2) << "3 experts for 2 tokens";
  EXPECT_EQ(step({one}), 2) << "as planned";
  EXPECT_EQ(step({one, none}), 1);
  EXPECT_EQ(step({all, none, none}), 1);
}

TEST(Remoe, AllLayersShareOneLambda) {
  StateTable state;
  for (const char* prefix : {"model.layers.0.mlp.", "model.layers.1.mlp."})
    make_routing_policy({"remoe", nlohmann::json::object()}, kSetup)->declare_state(state, prefix, DType::f32);
  ASSERT_EQ(state.rows().size(), 2u);
  EXPECT_EQ(state.rows()[0].name, "model.l1_coefficient");
  EXPECT_TRUE(state.rows()[0].persistent);
  EXPECT_FALSE(state.rows()[1].persistent) << "the count is zero between steps";
}

TEST(Remoe, HasASlotForEveryExpertAndAimsAtK) {
  EXPECT_EQ(plain_policy("remoe")->experts_per_token(), 4);
  EXPECT_EQ(plain_policy("remoe")->live_experts_per_token(), 2);
}

TEST(Remoe, RefusesLossesOfASoftmax) {
  const nlohmann::json nothing = nlohmann::json::object();
  for (const RouterSetup& setup : setups_with_a_loss())
    expect_contains(refusal("remoe", nothing, setup), "needs model.router_aux_loss_coef = 0");
  expect_contains(refusal("remoe", nothing, renormalising_setup()), "needs model.norm_topk_prob = false");
}

}  // namespace
}  // namespace gptmoe
