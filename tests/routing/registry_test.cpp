#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "routing/routing_policy.h"

namespace gptmoe {
namespace {

constexpr RouterSetup kSetup{.num_experts = 4,
                             .num_experts_per_tok = 2,
                             .hidden_size = 3,
                             .norm_topk_prob = false,
                             .aux_scale = 0,
                             .z_loss_scale = 0};

// The one line of the error that building this router throws.
std::string refusal(const std::string& type, const nlohmann::json& block, RouterSetup setup = kSetup) {
  try {
    make_routing_policy({type, block}, setup, "run.json");
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

const nlohmann::json kNothing = nlohmann::json::object();

TEST(Registry, BuildsEveryRouter) {
  EXPECT_EQ(make_routing_policy({"topk", kNothing}, kSetup)->experts_per_token(), 2);
  EXPECT_EQ(make_routing_policy({"default", kNothing}, kSetup)->experts_per_token(), 2);
  EXPECT_EQ(make_routing_policy({"dense", kNothing}, kSetup)->experts_per_token(), 4);
  EXPECT_EQ(make_routing_policy({"dense", kNothing}, kSetup)->live_experts_per_token(), 4);
  EXPECT_EQ(make_routing_policy({"loss_free", kNothing}, kSetup)->experts_per_token(), 2);
  EXPECT_EQ(make_routing_policy({"remoe", kNothing}, kSetup)->experts_per_token(), 4);
  EXPECT_EQ(make_routing_policy({"remoe", kNothing}, kSetup)->live_experts_per_token(), 2);
}

TEST(Registry, DenseGradientRunsAllExpertsAndChoosesSome) {
  const auto policy = make_routing_policy({"dense_gradient", kNothing}, kSetup);
  EXPECT_EQ(policy->experts_per_token(), 4);
  EXPECT_EQ(policy->live_experts_per_token(), 4);
  EXPECT_EQ(policy->chosen_per_token(), 2);
  RouterSetup setup = kSetup;
  setup.norm_topk_prob = true;
  EXPECT_NE(refusal("dense_gradient", kNothing, setup).find("needs model.norm_topk_prob = false"), std::string::npos);
}

TEST(Registry, NamesTheNewNamesOfAnOldWeighting) {
  const std::string line = refusal("default", {{"ema_weighting", "router_score"}});
  EXPECT_NE(line.find("run.json: router.ema_weighting: \"router_score\" is now called \"score_normalized\""),
            std::string::npos)
      << line;
}

TEST(Registry, SigmoidGatesTakeNoLossOfTheSoftmax) {
  EXPECT_EQ(refusal("loss_free", {{"gate", "sigmoid"}}), "accepted");
  for (double RouterSetup::*coefficient : {&RouterSetup::aux_scale, &RouterSetup::z_loss_scale}) {
    RouterSetup setup = kSetup;
    setup.*coefficient = 0.01;
    EXPECT_NE(refusal("loss_free", {{"gate", "sigmoid"}}, setup).find("router.gate: \"sigmoid\" needs"),
              std::string::npos);
  }
}

TEST(Registry, NamesTheNearestRouter) {
  const std::string known = R"("topk", "default", "dense", "dense_gradient", "loss_free", "remoe", "sparsemixer")";
  EXPECT_EQ(refusal("defualt", kNothing),
            "run.json: router.type: unknown router \"defualt\"; known: " + known + "; did you mean \"default\"?");
  EXPECT_EQ(refusal("expert_choice", kNothing),
            "run.json: router.type: unknown router \"expert_choice\"; known: " + known);
}

TEST(Registry, RefusesWhatThePolicyDoesNotKnow) {
  const std::string line = refusal("default", {{"ema_betta", 0.9}});
  EXPECT_NE(line.find("run.json: router.ema_betta: unknown key"), std::string::npos) << line;
  EXPECT_NE(line.find("\"ema_beta\""), std::string::npos) << line;
  EXPECT_NE(refusal("topk", {{"ema_beta", 0.9}}).find("router.ema_beta"), std::string::npos)
      << "a key of another router is no key of this one";
}

TEST(Registry, RefusesValuesOutOfRange) {
  for (const auto& [key, value] : std::vector<std::pair<std::string, nlohmann::json>>{{"ema_beta", 1.5},
                                                                                      {"ema_beta", -0.1},
                                                                                      {"ema_beta", "0.9"},
                                                                                      {"ema_weighting", "gate"},
                                                                                      {"ema_update", "never"},
                                                                                      {"ema_init", 0},
                                                                                      {"default_forward", 1},
                                                                                      {"ema_clip", -1}}) {
    const std::string line = refusal("default", {{key, value}});
    EXPECT_NE(line.find("run.json: router." + key + ": "), std::string::npos) << line;
    EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  }
}

TEST(Registry, AReluRouterHasNoSoftmaxToRegularise) {
  for (double RouterSetup::*coefficient : {&RouterSetup::aux_scale, &RouterSetup::z_loss_scale}) {
    RouterSetup setup = kSetup;
    setup.*coefficient = 0.01;
    const std::string line = refusal("remoe", kNothing, setup);
    EXPECT_NE(line.find("needs model.router_aux_loss_coef = 0"), std::string::npos) << line;
  }
  RouterSetup setup = kSetup;
  setup.norm_topk_prob = true;
  for (const char* type : {"remoe", "sparsemixer"})
    EXPECT_NE(refusal(type, kNothing, setup).find("norm_topk_prob = false"), std::string::npos) << type;
}

TEST(Registry, DefaultVectorsNeedTheWholeSoftmax) {
  RouterSetup setup = kSetup;
  setup.norm_topk_prob = true;
  EXPECT_NE(refusal("default", kNothing, setup).find("norm_topk_prob"), std::string::npos);
  EXPECT_EQ(refusal("topk", kNothing, setup), "accepted");
}

}  // namespace
}  // namespace gptmoe
