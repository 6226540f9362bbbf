// The whole model's gradient against central differences in double precision, for every switch that changes it.
#include <gtest/gtest.h>

#include <cmath>

#include "support/model_fixture.h"

namespace gptmoe::testing {
namespace {

struct Case {
  const char* name;
  nlohmann::json changes;
};

class ModelGradient : public ::testing::TestWithParam<Case> {};

// Mean cross-entropy plus the balance and z losses, or ReMoE's L1 norm times its coefficient, the first row of state,
// as a function of the parameters with the routers' state held.
double objective(Model& model, PassKind kind = PassKind::evaluate) {
  const Activations& a = model.activations();
  const ModelConfig& config = model.config.model;
  model.gpt().forward(model.pass(kind), a);
  model.gpt().loss(model.pass(PassKind::evaluate), a);
  double sum = 0;
  const int64_t N = a.losses_N.size(0);
  for (int64_t n = 0; n < N; ++n) sum += host_value(a.losses_N, n);
  double objective = sum / static_cast<double>(N);
  if (!a.router_stats_LW.present()) return objective;
  const auto layers = static_cast<double>(config.moe_layers());
  for (const TransformerBlock::Saved& block : a.blocks) {
    if (!block.moe.balance_loss_1.present()) continue;
    double squares = 0;
    for (int64_t n = 0; n < N; ++n) squares += std::pow(host_value(block.moe.routing.lse_N, n), 2);
    objective += config.router_aux_loss_coef * host_value(block.moe.balance_loss_1, 0) +
                 config.router_z_loss_coef * squares / static_cast<double>(N);
    if (model.config.router.type == "remoe")
      objective += host_value(model.gpt().state().value({0}), 0) * host_value(block.moe.balance_loss_1, 0) / layers;
  }
  return objective;
}

// The gradients in place, at a few elements of every parameter, against differences of the objective.
void expect_central_differences(Model& model, PassKind kind) {
  const ParamTable& params = model.gpt().params();
  constexpr double kStep = 1e-5;
  constexpr uint64_t kProbes = 4;
  for (const ParamRow& row : params.rows()) {
    double* value = params.row_value(row).as<double>();
    const double* grad = params.row_grad(row).as<double>();
    double scale = 1e-4;
    for (int64_t i = 0; i < row.count; ++i) scale = std::max(scale, std::abs(grad[i]));
    const Rng rng(5, hash_bytes(row.name));
    for (uint64_t probe = 0; probe < kProbes; ++probe) {
      const auto i = static_cast<int64_t>(rng.below(probe, static_cast<uint64_t>(row.count)));
      const double original = value[i];
      const auto at = [&](double steps) {
        value[i] = original + steps * kStep;
        return objective(model, kind);
      };
      // Fourth order: the truncation error vanishes beside rounding.
      const double numeric = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * kStep);
      value[i] = original;
      EXPECT_NEAR(grad[i], numeric, 1e-6 * scale + 2e-11) << row.name << "[" << i << "]";
    }
  }
}

TEST_P(ModelGradient, MatchesCentralDifferences) {
  Model model(tiny_config(GetParam().changes), make_cpu_ops_f64());
  const Activations& a = model.activations();
  model.load_batch(0);
  for (const StateRow& row : model.gpt().state().rows())
    if (row.persistent && row.dtype != DType::i64)
      initialize_row(host_memory(), {{row.value.view({row.value.count()})}}, row.value.count(), Init::normal(0.5), 7,
                     row.name);

  const Pass pass = model.pass(PassKind::train);
  model.ops->zero(model.gpt().params().grads());
  model.gpt().forward(pass, a);
  model.gpt().loss_and_backward(pass, a, 1.0 / static_cast<double>(a.losses_N.size(0)));

  expect_central_differences(model, PassKind::evaluate);
}

// SparseMixer's estimate is the gradient where every gate is all of its share, the draws held. The sampler's key is
// changed until that is so of a micro-batch in which not all was decided beforehand.
TEST(SparsemixerGradient, MatchesCentralDifferencesWhereNoGateIsAThird) {
  Model model(tiny_config({{"model", {{"router_aux_loss_coef", 0.0}}},
                           {"router", {{"type", "sparsemixer"}, {"jitter", 0.05}}}}),
              make_cpu_ops_f64());
  const Activations& a = model.activations();
  model.load_batch(1);  // in which no logit lies at the edge of what may be drawn
  const Pass pass = model.pass(PassKind::train);
  const auto drawn_whole = [&] {
    int undecided = 0;
    for (const TransformerBlock::Saved& block : a.blocks) {
      const Routing& routing = block.moe.routing;
      for (int64_t slot = 0; slot < routing.gates_NK.count(); ++slot) {
        const double share = host_value(routing.kept_NW, slot * 5 + routing.expert_ids_NK.as<int32_t>()[slot]);
        if (host_value(routing.gates_NK, slot) != share) return false;
        undecided += share < 0.9;
      }
    }
    return undecided >= 3;
  };
  bool found = false;
  for (int64_t key = 0; key < 1000 && !found; ++key) {
    for (const StateRow& row : model.gpt().state().rows()) row.value.as<int64_t>()[0] = key;
    model.gpt().forward(pass, a);
    found = drawn_whole();
  }
  ASSERT_TRUE(found);
  model.ops->zero(model.gpt().params().grads());
  model.gpt().loss_and_backward(pass, a, 1.0 / static_cast<double>(a.losses_N.size(0)));
  expect_central_differences(model, PassKind::recompute);
}

nlohmann::json default_router(nlohmann::json block = nlohmann::json::object()) {
  block["type"] = "default";
  return {{"router", block}};
}

nlohmann::json remoe() { return {{"model", {{"router_aux_loss_coef", 0.0}}}, {"router", {{"type", "remoe"}}}}; }

nlohmann::json with(nlohmann::json base, const nlohmann::json& more) {
  base.merge_patch(more);
  return base;
}

INSTANTIATE_TEST_SUITE_P(
    Switches, ModelGradient,
    ::testing::Values(
        Case{"topk", {}}, Case{"topk_one_expert_per_token", {{"model", {{"num_experts_per_tok", 1}}}}},
        Case{"all_experts_chosen", {{"model", {{"num_experts_per_tok", 5}}}}},
        Case{"renormalised_gates", {{"model", {{"norm_topk_prob", true}}}}},
        Case{"dense_router", {{"router", {{"type", "dense"}}}}}, Case{"default", default_router()},
        Case{"default_one_expert_per_token", with(default_router(), {{"model", {{"num_experts_per_tok", 1}}}})},
        Case{"default_step", default_router({{"ema_update", "step"}})},
        Case{"default_uniform", default_router({{"ema_weighting", "uniform"}})},
        Case{"default_normalized_decay",
             default_router({{"ema_weighting", "score_normalized"}, {"ema_unseen", "decay"}})},
        Case{"default_clip", default_router({{"ema_clip", 1.0}})},
        Case{"default_recompute", with(default_router(), {{"train", {{"recompute", "block"}}}})},
        Case{"loss_free", {{"router", {{"type", "loss_free"}}}}},
        Case{"loss_free_sigmoid",
             {{"model", {{"router_aux_loss_coef", 0.0}}}, {"router", {{"type", "loss_free"}, {"gate", "sigmoid"}}}}},
        Case{"balance_over_step", {{"model", {{"router_aux_loss_coef", 0.5}, {"balance_scope", "step"}}}}},
        Case{"remoe", remoe()},
        Case{"remoe_recompute_gelu",
             with(remoe(), {{"model", {{"hidden_act", "gelu"}}}, {"train", {{"recompute", "block"}}}})},
        Case{"balance_and_z_loss", {{"model", {{"router_aux_loss_coef", 0.5}, {"router_z_loss_coef", 0.1}}}}},
        Case{"shared_experts", {{"model", {{"n_shared_experts", 2}, {"first_k_dense_replace", 1}}}}},
        Case{"layernorm_tied", {{"model", {{"norm_type", "layernorm"}, {"tie_word_embeddings", true}}}}},
        Case{"qk_norm_grouped_queries",
             {{"model", {{"qk_norm", true}, {"num_attention_heads", 4}, {"num_key_value_heads", 2}, {"head_dim", 4}}}}},
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
    [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace gptmoe::testing
