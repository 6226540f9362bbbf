// Which class computes which model, and the class's names of the tensors.
#include "huggingface/families.h"

#include <set>

#include "huggingface/export_fixture.h"

namespace gptmoe::testing {
namespace {

class Families : public ExportTest {};

TEST_F(Families, EachModelHasItsClass) {
  for (const FamilyCase& c : family_cases()) {
    const FamilyChoice choice = choose_family(config_of(json::parse(c.changes)));
    EXPECT_STREQ(choice.family->model_type, c.model_type) << c.changes;
    EXPECT_EQ(choice.why_custom, "");
  }
}

// Each change turns a model that the class computes into one that it does not.
TEST_F(Families, WhatAClassDoesNotComputeNeedsOurs) {
  for (const auto& pair :
       std::vector<std::pair<std::string, std::string>>{{"olmoe", R"({"model": {"norm_type": "layernorm"}})"},
                                                        {"olmoe", R"({"model": {"hidden_act": "gelu"}})"},
                                                        {"olmoe", R"({"model": {"n_shared_experts": 1}})"},
                                                        {"olmoe", R"({"model": {"first_k_dense_replace": 1}})"},
                                                        {"olmoe", R"({"model": {"head_dim": 6}})"},
                                                        {"olmoe", R"({"model": {"logit_softcap": 30}})"},
                                                        {"qwen3_moe", R"({"model": {"n_shared_experts": 1}})"},
                                                        {"qwen3_moe", R"({"router": {"type": "loss_free"}})"},
                                                        {"qwen3", R"({"model": {"logit_softcap": 30}})"},
                                                        {"olmoe", R"({"router": {"type": "default"}})"},
                                                        {"olmoe", R"({"router": {"type": "dense"}})"},
                                                        {"mixtral", R"({"model": {"attention_bias": true}})"},
                                                        {"mixtral", R"({"router": {"type": "loss_free"}})"},
                                                        {"qwen2_moe", R"({"model": {"attention_bias": true}})"},
                                                        {"qwen2_moe", R"({"model": {"head_dim": 6}})"},
                                                        {"phimoe", R"({"model": {"num_experts_per_tok": 1}})"},
                                                        {"phimoe", R"({"model": {"norm_type": "rmsnorm"}})"},
                                                        {"llama", R"({"model": {"qk_norm": true}})"},
                                                        {"llama", R"({"model": {"hidden_act": "gelu"}})"},
                                                        {"llama", R"({"model": {"hidden_size": 13, "head_dim": 4}})"},
                                                        {"stablelm", R"({"model": {"attention_bias": true}})"},
                                                        {"gpt_neox", R"({"model": {"num_key_value_heads": 1}})"}}) {
    const std::string &model_type = pair.first, &change = pair.second;
    const auto of_type = [&](const FamilyCase& c) { return c.model_type == model_type; };
    json changes = json::parse(std::find_if(family_cases().begin(), family_cases().end(), of_type)->changes);
    changes.merge_patch(json::parse(change));
    const FamilyChoice choice = choose_family(config_of(changes));
    EXPECT_STREQ(choice.family->model_type, "gptmoe") << model_type << change;
    EXPECT_TRUE(choice.why_custom.starts_with("no class of transformers computes this model; ")) << choice.why_custom;
  }
}

TEST_F(Families, TheReasonNamesWhatTheNearestClassLacks) {
  EXPECT_EQ(choose_family(config_of({{"model", {{"norm_type", "layernorm"}, {"qk_norm", true}}}})).why_custom,
            "no class of transformers computes this model; OlmoeForCausalLM, the nearest, lacks model.norm_type "
            "layernorm");
  EXPECT_EQ(
      choose_family(config_of({{"model", {{"qk_norm", true}, {"logit_softcap", 30}}}})).why_custom,
      "no class of transformers computes this model; OlmoeForCausalLM, the nearest, lacks model.logit_softcap 30");
  EXPECT_EQ(choose_family(config_of({{"router", {{"type", "default"}}}})).why_custom,
            "no class of transformers computes this model; Qwen2MoeForCausalLM, the nearest, lacks router.type "
            "default");
}

// The inverse of the export, by the same table: each of our tensors comes back bit for bit, and the class's other
// tensors are zero.
TEST_F(Families, TheTableGivesOurTensorsBack) {
  for (const FamilyCase& c : family_cases()) {
    const Config config = config_of(json::parse(c.changes));
    const Family& family = *choose_family(config).family;
    const ReadTensors ours = saved(config), theirs = exported(config, {});
    const auto heads = static_cast<size_t>(config.model.num_attention_heads);
    std::set<std::string> used;
    for (const auto& [name, tensor] : ours)
      for (const TensorName& rule : family.tensors) {
        const auto other = renamed(rule.ours, rule.theirs, name);
        if (!other) continue;
        ASSERT_TRUE(theirs.contains(*other)) << *other;
        EXPECT_EQ(renamed(rule.theirs, rule.ours, *other), name);
        used.insert(*other);
        const ReadTensor& found = theirs.at(*other);
        if (rule.change < Change::query_rows) {
          EXPECT_EQ(found.sizes, tensor.sizes) << *other;
          const float factor = rule.change == Change::doubled ? 2 : 1;
          for (size_t i = 0; i < tensor.values.size(); ++i) ASSERT_EQ(found.values[i], factor * tensor.values[i]);
          continue;
        }
        EXPECT_EQ(found.sizes[0], 3 * tensor.sizes[0]) << *other;
        const size_t part = tensor.values.size() / heads;
        const auto kind = static_cast<size_t>(rule.change) - static_cast<size_t>(Change::query_rows);
        for (size_t i = 0; i < tensor.values.size(); ++i)
          ASSERT_EQ(found.values[(3 * (i / part) + kind) * part + i % part], tensor.values[i]) << *other;
      }
    for (const auto& [name, tensor] : theirs) {
      if (used.contains(name)) continue;
      for (const float value : tensor.values) ASSERT_EQ(value, 0) << name;
    }
  }
}

TEST_F(Families, TheClassesHaveTheirOwnNames) {
  const auto shape = [](const ReadTensors& tensors, const std::string& name) {
    return tensors.contains(name) ? tensors.at(name).sizes : std::vector<int64_t>();
  };
  using Sizes = std::vector<int64_t>;
  const ReadTensors mixtral = exported(config_of(json::parse(family_cases()[1].changes)), {});
  EXPECT_EQ(shape(mixtral, "model.layers.1.block_sparse_moe.gate.weight"), (Sizes{5, 12}));
  EXPECT_EQ(shape(mixtral, "model.layers.1.block_sparse_moe.experts.4.w1.weight"), (Sizes{10, 12}));
  EXPECT_EQ(shape(mixtral, "model.layers.1.block_sparse_moe.experts.4.w2.weight"), (Sizes{12, 10}));
  const ReadTensors qwen = exported(config_of(json::parse(family_cases()[3].changes)), {});
  EXPECT_EQ(shape(qwen, "model.layers.1.mlp.shared_expert.down_proj.weight"), (Sizes{12, 20}));
  EXPECT_EQ(shape(qwen, "model.layers.1.mlp.shared_expert_gate.weight"), (Sizes{1, 12}));
  EXPECT_EQ(shape(qwen, "model.layers.0.mlp.up_proj.weight"), (Sizes{14, 12}));
  EXPECT_FALSE(qwen.contains("model.layers.0.mlp.shared_expert_gate.weight"));
  EXPECT_FALSE(qwen.contains("lm_head.weight"));  // tied
  const ReadTensors narrow = exported(config_of(json::parse(family_cases()[2].changes)), {});
  EXPECT_EQ(shape(narrow, "model.layers.0.mlp.shared_expert.down_proj.weight"), (Sizes{12, 1}));
  const ReadTensors neox = exported(config_of(json::parse(family_cases()[8].changes)), {});
  EXPECT_EQ(shape(neox, "gpt_neox.layers.1.attention.query_key_value.weight"), (Sizes{36, 12}));
  EXPECT_EQ(shape(neox, "gpt_neox.layers.1.mlp.dense_h_to_4h.bias"), (Sizes{14}));
  EXPECT_EQ(shape(neox, "embed_out.weight"), (Sizes{29, 12}));
}

// Our class has the checkpoint's tensors, except what only training needs.
TEST_F(Families, OurClassTakesEveryRouter) {
  for (const Router& router : routers())
    for (const RouterTrial& trial : router.trials) {
      json block = json::parse(trial.keys);
      block["type"] = router.name;
      const Config config =
          config_of({{"router", block},
                     {"model", {{"router_aux_loss_coef", 0}, {"norm_type", "layernorm"}, {"n_shared_experts", 1}}}});
      ReadTensors ours = saved(config);
      erase_training_state(ours);
      const ReadTensors theirs = exported(config, {.custom = true});
      ASSERT_EQ(theirs.size(), ours.size()) << router.name;
      for (const auto& [name, tensor] : ours) EXPECT_EQ(theirs.at(name).values, tensor.values) << name;
      json full = *config.router.block;
      full["type"] = router.name;
      EXPECT_EQ(read("hf/config.json")["router"], full);
    }
}

}  // namespace
}  // namespace gptmoe::testing
