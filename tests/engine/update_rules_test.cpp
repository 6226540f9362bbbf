// Which optimizer, learning rate and weight decay each parameter gets.
#include "engine/update_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/key_error.h"
#include "engine/engine.h"
#include "kernels/plan_ops.h"
#include "model/gpt.h"
#include "support/error_message.h"
#include "support/model_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

Config with_optimizer(const json& optimizer) {
  return tiny_config({{"model", {{"first_k_dense_replace", 1}, {"norm_type", "layernorm"}, {"n_shared_experts", 1}}},
                      {"optimizer", optimizer}});
}

std::map<std::string, UpdateRule> rules_by_name(const Config& config) {
  const Gpt gpt(config.model, config.router, DType::f32, DType::f32);
  const std::vector<UpdateRule> rules = update_rules(config.optimizer, gpt.params());
  std::map<std::string, UpdateRule> named;
  for (size_t r = 0; r < rules.size(); ++r) named[gpt.params().rows()[r].name] = rules[r];
  return named;
}

std::string refusal(const json& optimizer) {
  return message<KeyError>([&] { check_param_groups(with_optimizer(optimizer), "f.json"); });
}

TEST(UpdateRules, MuonTakesTheMatricesOfAttentionAndFeedForwardLayers) {
  int64_t muon = 0;
  for (const auto& [name, rule] : rules_by_name(with_optimizer({{"type", "muon"}, {"weight_decay", 0.2}}))) {
    const bool hidden = name.ends_with("proj.weight");
    EXPECT_EQ(rule.muon, hidden) << name;
    const bool vector = name.find("norm") != std::string::npos;
    EXPECT_EQ(rule.weight_decay, vector ? 0 : 0.2) << name;
    EXPECT_EQ(rule.learning_rate_scale, 1) << name;
    muon += hidden;
  }
  EXPECT_EQ(muon, 2 * 4 + 3 + 5 * 3 + 3) << "attention, a dense layer, experts, a shared expert";
  for (const auto& [name, rule] : rules_by_name(with_optimizer({{"type", "adamw"}}))) EXPECT_FALSE(rule.muon) << name;
}

TEST(UpdateRules, AParameterTakesTheFirstGroupThatMatches) {
  const auto rules = rules_by_name(
      with_optimizer({{"type", "muon"},
                      {"learning_rate", 0.01},
                      {"groups",
                       {{{"match", "*.experts.3.*"}, {"learning_rate", 0.04}},
                        {{"match", "model.layers.1.*_proj.weight"}, {"type", "adamw"}, {"learning_rate_scale", 0.5}},
                        {{"match", "*.mlp.gate.weight"}, {"type", "muon"}, {"weight_decay", 0}},
                        {{"match", "*norm.bias"}, {"weight_decay", 0.3}}}}}));
  const auto expect = [&](const char* name, const UpdateRule& rule) { EXPECT_TRUE(rules.at(name) == rule) << name; };
  expect("model.layers.1.mlp.experts.3.up_proj.weight", {true, 4, 0.1});
  expect("model.layers.1.mlp.experts.2.up_proj.weight", {false, 0.5, 0.1});
  expect("model.layers.0.self_attn.q_proj.weight", {true, 1, 0.1});
  expect("model.layers.1.mlp.gate.weight", {true, 1, 0});
  expect("model.norm.bias", {false, 1, 0.3});
  expect("model.norm.weight", {false, 1, 0});
}

TEST(UpdateRules, RefusesGroupsThatDecideNothing) {
  EXPECT_EQ(refusal({{"groups", {{{"match", "lm_hed.weight"}, {"weight_decay", 0}}}}}),
            "f.json: optimizer.groups[0].match: \"lm_hed.weight\" matches no parameter; the nearest name is "
            "\"lm_head.weight\", and gptmoe plan without this group lists them all");
  EXPECT_EQ(
      refusal(
          {{"groups", {{{"match", "*"}, {"weight_decay", 0}}, {{"match", "lm_head.*"}, {"learning_rate_scale", 2}}}}}),
      "f.json: optimizer.groups[1].match: every parameter that \"lm_head.*\" matches is in an earlier group; move "
      "this group up");
}

TEST(UpdateRules, RefusesAVectorForMuon) {
  EXPECT_EQ(refusal({{"groups", {{{"match", "model.norm.*"}, {"type", "muon"}}}}}),
            "f.json: optimizer.groups[0].match: \"model.norm.*\" gives model.norm.weight to Muon, which updates only "
            "matrices; narrow the pattern, as in \"*_proj.weight\"");
}

TEST(UpdateRules, AreShownInOneLineForEachKindOfParameter) {
  const Config config = with_optimizer({{"type", "muon"},
                                        {"learning_rate", 0.01},
                                        {"groups", {{{"match", "*.experts.4.*"}, {"learning_rate_scale", 2}}}}});
  const Gpt gpt(config.model, config.router, DType::f32, DType::f32);
  const std::string table = rule_table(config.optimizer, gpt.params());
  EXPECT_NE(table.find("model.layers.0-1.self_attn.q_proj.weight        "), std::string::npos) << table;
  const std::string line =
      "model.layers.1.mlp.experts.0-3.up_proj.weight             4           480  muon            0.01           0.1\n";
  EXPECT_NE(table.find(line), std::string::npos) << table;
  EXPECT_NE(table.find("model.layers.1.mlp.experts.4.up_proj.weight "), std::string::npos) << table;
  EXPECT_EQ(rule_table({}, gpt.params()), "");
}

TEST(PlannedMuon, CountsItsProductsAndOneMoment) {
  const auto planned = [](const char* type, RankOf rank) {
    const Config config = tiny_config({{"optimizer", {{"type", type}}}, {"distributed", {{"zero_stage", 1}}}});
    return Engine(config, Purpose::train, 2, 7, make_plan_ops(DType::f32, DType::f32, 1 << 20, 0), rank);
  };
  const Engine muon = planned("muon", {}), adamw = planned("adamw", {});
  double flops = 0;
  int64_t elements = 0;
  for (const ParamRow& row : muon.gpt().params().rows()) {
    if (!row.name.ends_with("_proj.weight")) continue;
    const auto m = static_cast<double>(std::min(row.sizes[0], row.sizes[1]));
    const auto n = static_cast<double>(std::max(row.sizes[0], row.sizes[1]));
    flops += 5 * (4 * m * m * n + 2 * m * m * m);
    elements += row.count;
  }
  EXPECT_DOUBLE_EQ(muon.optimizer_flops_per_step(), flops);
  EXPECT_EQ(adamw.optimizer_flops_per_step(), 0);
  EXPECT_EQ(adamw.optimizer().v().values().count() - muon.optimizer().v().values().count(), elements);

  // Each layer's momentum is gathered once per step: here f32.
  const Engine two = planned("muon", {0, 2}), two_adamw = planned("adamw", {0, 2});
  const auto gradients = static_cast<size_t>(Traffic::gradients);
  int64_t gathered = 0;
  for (size_t bucket = 1; bucket <= 2; ++bucket)
    for (const ParamTable::Segment& segment : two.gpt().params().buckets()[bucket])
      if (!segment.stat) gathered += segment.count * 4 / 2;
  EXPECT_EQ(two.traffic().step[gradients].bytes - two_adamw.traffic().step[gradients].bytes, gathered);
}

}  // namespace
}  // namespace gptmoe::testing
