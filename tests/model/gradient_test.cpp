// Compares the whole model's gradient with central differences, in double precision, for every option that changes it.
#include <gtest/gtest.h>

#include "model/gradient_check.h"
#include "support/router_cases.h"

namespace gptmoe::testing {
namespace {

struct Case {
  std::string name;
  nlohmann::json changes;
};

void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

class ModelGradient : public ::testing::TestWithParam<Case> {};

TEST_P(ModelGradient, MatchesCentralDifferences) {
  Model model(tiny_config(GetParam().changes), make_cpu_ops_f64());
  expect_exact_gradient(model, [&] { return objective(model); });
}

std::vector<Case> plain_routers() {
  std::vector<Case> cases;
  for (const RouterCase& router : router_cases(&RouterTrial::plain_gradient))
    cases.push_back({router.name, router.changes()});
  return cases;
}

std::string switch_name(const ::testing::TestParamInfo<Case>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(Routers, ModelGradient, ::testing::ValuesIn(plain_routers()), switch_name);

INSTANTIATE_TEST_SUITE_P(
    Switches, ModelGradient,
    ::testing::Values(
        Case{"one_expert_per_token", {{"model", {{"num_experts_per_tok", 1}}}}},
        Case{"all_experts_chosen", {{"model", {{"num_experts_per_tok", 5}}}}},
        Case{"renormalised_gates", {{"model", {{"norm_topk_prob", true}}}}},
        Case{"default_one_expert_per_token",
             {{"router", {{"type", "default"}}}, {"model", {{"num_experts_per_tok", 1}}}}},
        Case{"default_clip", {{"router", {{"type", "default"}, {"ema_clip", 1.0}}}}},
        Case{"default_recompute", {{"router", {{"type", "default"}}}, {"train", {{"recompute", "block"}}}}},
        Case{"balance_over_step", {{"model", {{"router_aux_loss_coef", 0.5}, {"balance_scope", "step"}}}}},
        Case{"balance_and_z_loss", {{"model", {{"router_aux_loss_coef", 0.5}, {"router_z_loss_coef", 0.1}}}}},
        Case{"shared_experts", {{"model", {{"n_shared_experts", 2}, {"first_k_dense_replace", 1}}}}},
        Case{"layernorm_tied", {{"model", {{"norm_type", "layernorm"}, {"tie_word_embeddings", true}}}}},
        Case{"qk_norm_grouped_queries",
             {{"model", {{"qk_norm", true}, {"num_attention_heads", 4}, {"num_key_value_heads", 2}, {"head_dim", 4}}}}},
        Case{"qk_norm_per_head",
             {{"model",
               {{"qk_norm", true},
                {"qk_norm_scope", "head"},
                {"num_attention_heads", 4},
                {"num_key_value_heads", 2},
                {"head_dim", 4}}}}},
        Case{"capped_logits", {{"model", {{"logit_softcap", 1.5}}}}},
        Case{"output_z_loss", {{"model", {{"output_z_loss_coef", 0.3}}}}},
        Case{"capped_logits_output_z_loss_tied",
             {{"model", {{"logit_softcap", 1.5}, {"output_z_loss_coef", 0.3}, {"tie_word_embeddings", true}}}}},
        Case{"attention_bias", {{"model", {{"attention_bias", true}}}}},
        Case{"attention_bias_qk_norm_grouped_queries",
             {{"model",
               {{"attention_bias", true},
                {"qk_norm", true},
                {"num_attention_heads", 4},
                {"num_key_value_heads", 2},
                {"head_dim", 4}}}}},
        Case{"gelu_experts", {{"model", {{"hidden_act", "gelu"}}}}},
        Case{"dense_model", {{"model", {{"num_experts", 0}}}}}),
    switch_name);

}  // namespace
}  // namespace gptmoe::testing
