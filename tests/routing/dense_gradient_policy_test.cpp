// Compares the dense_gradient router with TopK, with the dense router, and with finite differences of its surrogate.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "routing/policy_layer.h"
#include "routing/refusal.h"
#include "support/error_line.h"

namespace gptmoe {
namespace {

constexpr int64_t kTokens = 7, kExperts = 4, kWidth = 3;

RouterSetup setup_of(int64_t chosen) {
  return {.num_experts = kExperts,
          .num_experts_per_tok = chosen,
          .hidden_size = kWidth,
          .norm_topk_prob = false,
          .aux_scale = 0,
          .z_loss_scale = 0};
}

// A layer where expert e's output for token n is answer(n, e), whichever experts the router runs.
class Layer : public PolicyLayer {
 public:
  Layer(const char* type, int64_t chosen)
      : PolicyLayer({type, nlohmann::json::object()}, setup_of(chosen), kTokens, 1) {
    std::vector<float> logits;
    for (int64_t i = 0; i < kTokens * kExperts; ++i) logits.push_back(static_cast<float>(Rng(3, 0).normal(i)));
    route(logits);
    const int64_t K = routing.expert_ids_NK.size(1);
    for (int64_t slot = 0; slot < kTokens * K; ++slot)
      for (int64_t c = 0; c < kWidth; ++c)
        rows_RC.as<float>()[routing.positions_NK.as<int32_t>()[slot] * kWidth + c] =
            answer(slot / K, routing.expert_ids_NK.as<int32_t>()[slot], c);
    combine();
  }
  static float answer(int64_t n, int64_t e, int64_t c) {
    return static_cast<float>(Rng(5, 0).normal((n * kExperts + e) * kWidth + c));
  }
  float prob(int64_t n, int64_t e) const { return routing.probs_NE.as<float>()[n * kExperts + e]; }
  std::vector<float> output() const { return {y_NC.as<float>(), y_NC.as<float>() + y_NC.count()}; }
};

std::vector<float> output_gradient() {
  std::vector<float> dy;
  for (int64_t i = 0; i < kTokens * kWidth; ++i) dy.push_back(static_cast<float>(Rng(7, 0).normal(i)));
  return dy;
}

TEST(DenseGradientPolicy, GivesTheOutputOfTopk) {
  for (int64_t chosen : {1, 2, 4}) {
    const Layer topk("topk", chosen), dense_gradient("dense_gradient", chosen);
    for (size_t i = 0; i < topk.output().size(); ++i)
      EXPECT_NEAR(dense_gradient.output()[i], topk.output()[i], 1e-6) << chosen << ", " << i;
  }
}

TEST(DenseGradientPolicy, CountsTheLoadOfChosenExperts) {
  const Layer topk("topk", 2), dense_gradient("dense_gradient", 2);
  for (int64_t e = 0; e <= kExperts; ++e) {
    EXPECT_EQ(dense_gradient.routing.load_offsets_E1.as<int64_t>()[e], topk.routing.offsets_E1.as<int64_t>()[e]);
    EXPECT_EQ(dense_gradient.routing.offsets_E1.as<int64_t>()[e], e * kTokens) << "every expert runs on every token";
  }
}

// Checks dL/dp of L = <dy, sum_{chosen} p_i E_i + sum_{others} p_i sg(E_i)> with central differences.
TEST(DenseGradientPolicy, HasTheGradientOfItsSurrogate) {
  const std::vector<float> dy = output_gradient();
  Layer layer("dense_gradient", 2);
  const auto [dprobs, drows] = layer.combine_gradients(dy);
  for (int64_t n = 0; n < kTokens; ++n)
    for (int64_t e = 0; e < kExperts; ++e) {
      const auto loss = [&](double p) {
        double sum = 0;
        for (int64_t c = 0; c < kWidth; ++c)
          sum += static_cast<double>(dy[static_cast<size_t>(n * kWidth + c)]) * p * Layer::answer(n, e, c);
        return sum;
      };
      const double p = layer.prob(n, e), step = 1e-3;
      EXPECT_NEAR(dprobs[static_cast<size_t>(n * kExperts + e)], (loss(p + step) - loss(p - step)) / (2 * step), 1e-5);
    }
}

TEST(DenseGradientPolicy, GivesNoGradientToExpertsThatWereNotChosen) {
  Layer layer("dense_gradient", 2);
  const auto [dprobs, drows] = layer.combine_gradients(output_gradient());
  for (int64_t slot = 0; slot < kTokens * kExperts; ++slot)
    for (int64_t c = 0; c < kWidth; ++c) {
      const float drow = drows[static_cast<size_t>(layer.routing.positions_NK.as<int32_t>()[slot] * kWidth + c)];
      EXPECT_EQ(drow == 0, slot % kExperts >= 2) << slot;
    }
}

TEST(DenseGradientPolicy, EqualsTopkAndDenseIfAllExpertsAreChosen) {
  const std::vector<float> dy = output_gradient();
  Layer layer("dense_gradient", kExperts), topk("topk", kExperts), dense("dense", kExperts);
  EXPECT_EQ(layer.output(), topk.output());
  EXPECT_EQ(layer.output(), dense.output());
  EXPECT_EQ(layer.combine_gradients(dy), topk.combine_gradients(dy));
  EXPECT_EQ(layer.combine_gradients(dy), dense.combine_gradients(dy));
}

TEST(DenseGradientPolicy, RunsOnlyTheChosenExpertsInEvaluation) {
  Layer layer("dense_gradient", 2);
  layer.route_to_evaluate();
  EXPECT_EQ(layer.routing.offsets_E1.as<int64_t>()[kExperts], 2 * kTokens);
  EXPECT_EQ(layer.routing.load_offsets_E1.as<int64_t>()[kExperts], 2 * kTokens);
}

TEST(DenseGradientPolicy, RunsAllExpertsAndChoosesSome) {
  const auto policy = plain_policy("dense_gradient");
  EXPECT_EQ(policy->experts_per_token(), 4);
  EXPECT_EQ(policy->live_experts_per_token(), 4);
  EXPECT_EQ(policy->chosen_per_token(), 2);
  EXPECT_EQ(plain_policy("dense")->chosen_per_token(), 4);
}

TEST(DenseGradientPolicy, NeedsTheWholeSoftmax) {
  expect_contains(refusal("dense_gradient", nlohmann::json::object(), renormalising_setup()),
                  "needs model.norm_topk_prob = false");
}

}  // namespace
}  // namespace gptmoe
