// Compares the biases of loss-free balancing with values computed by hand.
#include <cmath>

#include "routing/policy_layer.h"
#include "routing/refusal.h"
#include "support/error_line.h"

namespace gptmoe {
namespace {

constexpr RouterSetup kSetup{.num_experts = 4,
                             .num_experts_per_tok = 2,
                             .hidden_size = 1,
                             .norm_topk_prob = false,
                             .aux_scale = 0,
                             .z_loss_scale = 0};
constexpr float kRate = 0.25f;

class Layer : public PolicyLayer {
 public:
  explicit Layer(int64_t N) : PolicyLayer({"loss_free", nlohmann::json{{"bias_rate", kRate}}}, kSetup, N) {}
  float* bias() const { return state("gate.e_score_correction_bias").as<float>(); }
  std::vector<float> biases() const { return {bias(), bias() + 4}; }
};

const std::vector<float> kFalling = {3, 2, 1, 0};

TEST(LossFree, TheBiasAffectsTheChoiceOfExpertsAndNothingElse) {
  Layer layer(1);
  layer.route(kFalling);
  EXPECT_EQ(layer.chosen(), (std::vector<int32_t>{0, 1}));
  layer.bias()[3] = 1;
  layer.bias()[1] = -1;
  layer.route(kFalling);
  EXPECT_EQ(layer.chosen(), (std::vector<int32_t>{3, 0})) << "probability 0.03 + 1 comes before 0.64";
  const double sum = std::exp(3) + std::exp(2) + std::exp(1) + 1;
  EXPECT_NEAR(layer.routing.gates_NK.as<float>()[0], 1 / sum, 1e-6) << "gates are the probabilities themselves";
  EXPECT_NEAR(layer.routing.gates_NK.as<float>()[1], std::exp(3) / sum, 1e-6);
}

// DeepSeek-V3's gates.
TEST(LossFree, GatesAreDividedByTheirSumAndScaled) {
  RouterSetup setup = kSetup;
  setup.norm_topk_prob = true;
  PolicyLayer layer({"loss_free", nlohmann::json{{"gate", "sigmoid"}, {"routed_scaling_factor", 2.5}}}, setup, 1);
  layer.state("gate.e_score_correction_bias").as<float>()[3] = 1;
  layer.route(kFalling);
  EXPECT_EQ(layer.chosen(), (std::vector<int32_t>{3, 0}));
  const double first = 0.5, second = 1 / (1 + std::exp(-3));  // sigmoids of 0 and 3
  const float* gates = layer.routing.gates_NK.as<float>();
  EXPECT_NEAR(gates[0], 2.5 * first / (first + second), 1e-6);
  EXPECT_NEAR(gates[1], 2.5 * second / (first + second), 1e-6);
}

TEST(LossFree, EvaluationAndRecomputationChooseAsTrainingDoes) {
  Layer layer(1);
  layer.bias()[3] = 1;
  for (PassKind kind : {PassKind::train, PassKind::recompute, PassKind::evaluate}) {
    layer.route(kFalling, kind);
    EXPECT_EQ(layer.chosen(), (std::vector<int32_t>{3, 0}));
  }
}

// The loads over two micro-batches are 4, 2, 2, 0. Biases of experts with the mean load do not change, and each step
// counts from zero.
TEST(LossFree, MovesOnceAStepAgainstTheLoadsOfAllItsMicroBatches) {
  Layer layer(2);
  const std::vector<float> first = {9, 8, 0, 0, 9, 8, 0, 0}, second = {9, 0, 8, 0, 9, 0, 8, 0};
  layer.route(first);
  layer.observe();
  layer.route(first, PassKind::recompute);  // not counted
  layer.route(second);
  layer.observe();
  EXPECT_EQ(layer.biases(), (std::vector<float>{0, 0, 0, 0}));
  layer.end_step();
  EXPECT_EQ(layer.biases(), (std::vector<float>{-kRate, 0, 0, kRate}));
  layer.route(first);
  layer.observe();
  layer.end_step();
  EXPECT_EQ(layer.biases(), (std::vector<float>{-2 * kRate, -kRate, kRate, 2 * kRate}));
}

TEST(LossFree, CheckpointsHoldOnlyTheBias) {
  const Layer layer(1);
  for (const StateRow& row : layer.state().rows())
    EXPECT_EQ(row.persistent, row.name == "layer.gate.e_score_correction_bias") << row.name;
}

TEST(LossFree, SigmoidGatesRefuseLossesOfTheSoftmax) {
  const nlohmann::json sigmoid = {{"gate", "sigmoid"}};
  EXPECT_EQ(refusal("loss_free", sigmoid), "accepted");
  for (const RouterSetup& setup : setups_with_a_loss())
    expect_contains(refusal("loss_free", sigmoid, setup), "router.gate: \"sigmoid\" needs");
}

}  // namespace
}  // namespace gptmoe
