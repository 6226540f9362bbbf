#include "routing/router_table.h"

#include <gtest/gtest.h>

#include <set>

#include "routing/refusal.h"
#include "support/error_line.h"

namespace gptmoe {
namespace {

const nlohmann::json kNothing = nlohmann::json::object();

TEST(RouterTable, BuildsEveryRouterWithTheKeysOfItsTrials) {
  std::set<std::string> names;
  for (const Router& router : routers()) {
    SCOPED_TRACE(router.name);
    EXPECT_TRUE(names.insert(router.name).second) << "listed twice";
    EXPECT_TRUE(std::string_view(router.sentence).ends_with('.')) << router.sentence;
    EXPECT_EQ(refusal(router.name, kNothing), "accepted");
    std::set<std::string> trials;
    for (const RouterTrial& trial : router.trials) {
      EXPECT_TRUE(trials.insert(trial.name).second) << trial.name;
      EXPECT_EQ(refusal(router.name, nlohmann::json::parse(trial.keys)), "accepted") << trial.keys;
    }
    EXPECT_EQ(std::string_view(router.trials.at(0).name), "") << "the first trial needs no name";
  }
}

TEST(RouterTable, NamesTheNearestRouter) {
  std::string known;
  for (const std::string& name : router_names()) known += (known.empty() ? "\"" : ", \"") + name + "\"";
  EXPECT_EQ(refusal("defualt", kNothing),
            "run.json: router.type: unknown router \"defualt\"; known: " + known + "; did you mean \"default\"?");
  EXPECT_EQ(refusal("expert_choice", kNothing),
            "run.json: router.type: unknown router \"expert_choice\"; known: " + known);
}

TEST(RouterTable, RefusesKeysThatThePolicyDoesNotKnow) {
  for (const std::string& router : router_names())
    expect_contains(refusal(router, {{"no_such_key", 1}}), "run.json: router.no_such_key: unknown key");
  const std::string line = refusal("default", {{"ema_betta", 0.9}});
  expect_contains(line, "run.json: router.ema_betta: unknown key");
  expect_contains(line, "\"ema_beta\"");
  EXPECT_EQ(refusal("topk", {{"knob", 1}}), "run.json: router.knob: unknown key; no key is known here, so remove it");
}

TEST(RouterTable, NamesTheRoutersThatHaveTheKey) {
  EXPECT_EQ(refusal("topk", {{"ema_beta", 0.9}}),
            "run.json: router.ema_beta: unknown key; it belongs to router \"default\", but router.type is \"topk\"");
  EXPECT_EQ(
      refusal("default", {{"bias_rate", 0.1}}),
      "run.json: router.bias_rate: unknown key; it belongs to router \"loss_free\", but router.type is \"default\"");
  EXPECT_EQ(refusal("topk", {{"num_experts", 8}}),
            "run.json: router.num_experts: unknown key; did you mean \"model.num_experts\"?");
}

}  // namespace
}  // namespace gptmoe
