#include "routing/router_defaults.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "base/json.h"
#include "routing/router_table.h"

namespace gptmoe {
namespace {

using nlohmann::json;

constexpr RouterSetup kSetup{.num_experts = 4,
                             .num_experts_per_tok = 2,
                             .hidden_size = 8,
                             .norm_topk_prob = false,
                             .aux_scale = 0,
                             .z_loss_scale = 0};

json completed(const std::string& type, const json& block) {
  const RouterConfig config = with_defaults({type, block}, kSetup);
  EXPECT_EQ(config.type, type);
  return *config.block;
}

TEST(RouterDefaults, GivenValuesStayAndOthersAreAdded) {
  EXPECT_EQ(completed("sparsemixer", json::object()), json({{"jitter", 0.01}}));
  EXPECT_EQ(completed("sparsemixer", {{"jitter", 2}}), json({{"jitter", 2.0}}));
  EXPECT_EQ(completed("loss_free", {{"gate", "sigmoid"}}),
            json({{"gate", "sigmoid"}, {"bias_rate", 1e-4}, {"routed_scaling_factor", 1.0}}));
  EXPECT_EQ(completed("default", {{"default_forward", false}})["default_forward"], false);
  EXPECT_EQ(completed("default", json::object())["default_forward"], true);
  EXPECT_EQ(completed("topk", json::object()), json::object());
}

// Completing a completed block again changes nothing, and the policy accepts the block.
TEST(RouterDefaults, EveryRouterTakesItsCompletedBlock) {
  for (const Router& router : routers())
    for (const RouterTrial& trial : router.trials) {
      const json given = json::parse(trial.keys), block = completed(router.name, given);
      EXPECT_EQ(completed(router.name, block), block) << router.name;
      for (const auto& [key, value] : given.items()) EXPECT_EQ(block[key], value) << router.name << " " << key;
    }
}

TEST(RouterDefaults, RefusesWhatThePolicyRefuses) {
  EXPECT_THROW(completed("topk", {{"jitter", 1}}), UserError);
  EXPECT_THROW(completed("loss_free", {{"gate", "tanh"}}), UserError);
  EXPECT_THROW(completed("nothing", json::object()), UserError);
}

}  // namespace
}  // namespace gptmoe
