// Equalities that must hold for any values.
#include <gtest/gtest.h>

#include <cmath>

#include "support/model_fixture.h"
#include "support/router_cases.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

std::vector<double> forward_losses(Model& model, PassKind kind = PassKind::evaluate) {
  model.load_batch(3);
  model.gpt().forward(model.pass(kind), model.activations());
  model.gpt().loss(model.pass(kind), model.activations());
  std::vector<double> losses;
  for (int64_t n = 0; n < model.activations().losses_N.size(0); ++n)
    losses.push_back(host_value(model.activations().losses_N, n));
  return losses;
}

// Copies rows of `from` into the rows of `to` that `rename` maps them to.
void copy_rows(Model& to, Model& from, const std::function<std::string(std::string)>& rename) {
  for (const ParamRow& target : to.gpt().params().rows())
    for (const ParamRow& source : from.gpt().params().rows())
      if (rename(source.name) == target.name)
        to.ops->copy(to.gpt().params().row_value(target), from.gpt().params().row_value(source));
}

TEST(Invariant, OneExpertEqualsADenseFeedForward) {
  Model moe(tiny_config({{"model", {{"num_experts", 1}, {"num_experts_per_tok", 1}, {"moe_intermediate_size", 14}}}}));
  Model dense(tiny_config({{"model", {{"num_experts", 0}}}}));
  copy_rows(dense, moe, [](std::string name) {
    if (const size_t at = name.find("experts.0."); at != std::string::npos) name.erase(at, 10);
    return name;
  });
  const auto a = forward_losses(moe), b = forward_losses(dense);
  for (size_t n = 0; n < a.size(); ++n) EXPECT_NEAR(a[n], b[n], 1e-5) << n;
}

TEST(Invariant, ZeroDefaultVectorsGiveTheLossesOfTopk) {
  Model topk(tiny_config()), with_default(tiny_config({{"router", {{"type", "default"}}}}));
  EXPECT_EQ(forward_losses(topk), forward_losses(with_default));
}

TEST(Invariant, DenseRouterEqualsTopkWithEveryExpert) {
  Model dense(tiny_config({{"router", {{"type", "dense"}}}}));
  Model all(tiny_config({{"model", {{"num_experts_per_tok", 5}}}}));
  for (int64_t s = 0; s < 3; ++s) EXPECT_EQ(dense.step(s).loss, all.step(s).loss);
  EXPECT_EQ(dense.parameter_bytes(), all.parameter_bytes());
}

class Evaluation : public ::testing::TestWithParam<RouterCase> {};

TEST_P(Evaluation, ChangesNothing) {
  Model model(tiny_config(GetParam().changes()));
  const auto& state = model.gpt().state().rows();
  const auto collect = [&](std::vector<double>& out) {
    for (const StateRow& row : state)
      for (int64_t i = 0; i < row.value.count(); ++i)
        out.push_back(row.dtype == DType::i64 ? static_cast<double>(row.value.as<int64_t>()[i])
                                              : host_value(row.value, i));
  };
  std::vector<double> at_start, before, after;
  collect(at_start);
  model.step(0);
  const auto params = model.parameter_bytes();
  collect(before);
  EXPECT_EQ(before != at_start, !state.empty()) << "the training step should have moved the router's state";
  forward_losses(model);
  collect(after);
  EXPECT_EQ(before, after);
  EXPECT_EQ(params, model.parameter_bytes());
}

INSTANTIATE_TEST_SUITE_P(Routers, Evaluation, ::testing::ValuesIn(router_cases()), router_case_name);

void expect_same_bits_when_recomputed(const json& changes) {
  json on = changes;
  on["train"]["recompute"] = "block";
  Model kept(tiny_config(changes)), recomputed(tiny_config(on));
  for (int64_t s = 0; s < 4; ++s) EXPECT_EQ(kept.step(s).loss, recomputed.step(s).loss) << "step " << s;
  EXPECT_EQ(kept.parameter_bytes(), recomputed.parameter_bytes());
}

class Recompute : public ::testing::TestWithParam<RouterCase> {};

TEST_P(Recompute, GivesTheSameBits) { expect_same_bits_when_recomputed(GetParam().changes()); }

INSTANTIATE_TEST_SUITE_P(Routers, Recompute, ::testing::ValuesIn(router_cases()), router_case_name);

class RecomputeWithOptions : public ::testing::TestWithParam<json> {};

TEST_P(RecomputeWithOptions, GivesTheSameBits) { expect_same_bits_when_recomputed(GetParam()); }

INSTANTIATE_TEST_SUITE_P(
    Options, RecomputeWithOptions,
    ::testing::Values(json{{"router", {{"type", "default"}, {"ema_update", "step"}, {"ema_clip", 2.0}}}},
                      json{{"model", {{"balance_scope", "step"}}}, {"train", {{"global_batch_size", 4}}}},
                      json{{"model", {{"first_k_dense_replace", 1}, {"n_shared_experts", 1}, {"qk_norm", true}}}},
                      json{{"model", {{"qk_norm", true}, {"qk_norm_scope", "head"}}}},
                      json{{"model", {{"logit_softcap", 2.0}, {"output_z_loss_coef", 0.1}}}},
                      json{{"model", {{"attention_bias", true}}}},
                      json{{"data", {{"document_mask", true}, {"end_of_text", 5}}}}));

// The router's learnt state: default vectors, biases, coefficients.
std::vector<double> learnt(Model& model) {
  std::vector<double> values;
  for (const StateRow& row : model.gpt().state().rows())
    for (int64_t i = 0; row.persistent && row.dtype == DType::f64 && i < row.value.count(); ++i)
      values.push_back(host_value(row.value, i));
  return values;
}

// One micro-batch of 4 sequences and 4 micro-batches of 1 sequence must give the same step and the same router state.
// This holds only without a balance loss, and only if the router's objective does not depend on how a batch is split.
void expect_accumulation_equals_a_bigger_batch(const json& changes) {
  json whole = changes, parts = changes;
  whole["train"] = {{"micro_batch_size", 4}, {"global_batch_size", 4}};
  parts["train"] = {{"micro_batch_size", 1}, {"global_batch_size", 4}};
  Model one(tiny_config(whole), make_cpu_ops_f64()), four(tiny_config(parts), make_cpu_ops_f64());
  const int64_t T = one.config.train.sequence_length, V = one.config.model.vocab_size;
  std::vector<int32_t> tokens(static_cast<size_t>(4 * T)), targets(tokens.size());
  for (int64_t s = 0; s < 3; ++s) {
    random_batch({tokens.data(), DType::i32, {4, T}}, {targets.data(), DType::i32, {4, T}}, V,
                 static_cast<uint64_t>(s));
    const auto step = [&](Model& model) {
      size_t position = 0;
      return model.step(s, [&](const Tensor& inputs_BT, const Tensor& targets_BT) {
        std::copy_n(tokens.data() + position, inputs_BT.count(), inputs_BT.as<int32_t>());
        std::copy_n(targets.data() + position, inputs_BT.count(), targets_BT.as<int32_t>());
        position += static_cast<size_t>(inputs_BT.count());
      });
    };
    const StepResult a = step(one), b = step(four);
    EXPECT_NEAR(a.loss, b.loss, 1e-12) << "step " << s;
    EXPECT_NEAR(a.grad_norm, b.grad_norm, 1e-10 * a.grad_norm) << "step " << s;
  }
  const Tensor& a = one.gpt().params().values();
  const Tensor& b = four.gpt().params().values();
  for (int64_t i = 0; i < a.count(); ++i) ASSERT_NEAR(a.as<double>()[i], b.as<double>()[i], 1e-8) << i;
  const std::vector<double> learnt_of_one = learnt(one), learnt_of_four = learnt(four);
  ASSERT_EQ(learnt_of_one.size(), learnt_of_four.size());
  for (size_t i = 0; i < learnt_of_one.size(); ++i) ASSERT_NEAR(learnt_of_one[i], learnt_of_four[i], 1e-10) << i;
}

class Accumulation : public ::testing::TestWithParam<RouterCase> {};

TEST_P(Accumulation, EqualsABiggerBatch) {
  expect_accumulation_equals_a_bigger_batch(GetParam().changes_without_balance_loss());
}

INSTANTIATE_TEST_SUITE_P(Routers, Accumulation, ::testing::ValuesIn(router_cases(&RouterTrial::cut_freely)),
                         router_case_name);

TEST(Invariant, AccumulationWithAZLossEqualsABiggerBatch) {
  expect_accumulation_equals_a_bigger_batch({{"model", {{"router_aux_loss_coef", 0}, {"router_z_loss_coef", 0.1}}}});
}

TEST(Invariant, AccumulationWithADocumentMaskEqualsABiggerBatch) {
  expect_accumulation_equals_a_bigger_batch(
      {{"model", {{"router_aux_loss_coef", 0}}}, {"data", {{"document_mask", true}, {"end_of_text", 5}}}});
}

TEST(Invariant, AccumulationWithAnOutputZLossEqualsABiggerBatch) {
  expect_accumulation_equals_a_bigger_batch(
      {{"model", {{"router_aux_loss_coef", 0}, {"output_z_loss_coef", 0.1}, {"logit_softcap", 2.0}}}});
}

TEST(Invariant, TheOutputZLossIsReportedApartFromTheLoss) {
  Model plain(tiny_config({})), model(tiny_config({{"model", {{"output_z_loss_coef", 0.1}}}}));
  const StepResult without = plain.step(0), with = model.step(0);
  EXPECT_EQ(with.loss, without.loss);
  EXPECT_NE(with.grad_norm, without.grad_norm);
  EXPECT_FALSE(without.output_z_loss.has_value());
  const Tensor& lse_N = model.activations().lse_N;
  double squares = 0;
  for (int64_t n = 0; n < lse_N.count(); ++n) squares += std::pow(host_value(lse_N, n), 2);
  ASSERT_TRUE(with.output_z_loss.has_value());
  EXPECT_NEAR(*with.output_z_loss, squares / static_cast<double>(lse_N.count()), 1e-4);
}

// With balance_scope "step", each micro-batch counts its own loads and those of earlier micro-batches; the next step
// starts from zero.
TEST(Invariant, TheBalanceLossMayCountTokensOverTheStep) {
  json config = {{"model", {{"balance_scope", "step"}, {"router_aux_loss_coef", 0.5}}},
                 {"train", {{"micro_batch_size", 1}, {"global_batch_size", 3}}}};
  Model over_step(tiny_config(config));
  config["model"]["balance_scope"] = "micro_batch";
  for (int64_t s = 0; s < 2; ++s) over_step.step(s);
  const Routing& routing = over_step.activations().blocks[0].moe.routing;
  const Tensor& sums = over_step.engine.sums().router_LW;  // the sums of the last step
  for (int64_t e = 0; e < 5; ++e)
    EXPECT_NEAR(host_value(routing.balance_fractions_E, e), host_value(sums, e) / 3, 1e-6) << e;
  // With one micro-batch both scopes agree; with two they do not.
  for (int64_t micro_batches : {1, 2}) {
    json few = config;
    few["train"]["global_batch_size"] = micro_batches;
    Model alone(tiny_config(few));
    few["model"]["balance_scope"] = "step";
    Model together(tiny_config(few));
    alone.step(0), together.step(0);
    EXPECT_EQ(alone.parameter_bytes() == together.parameter_bytes(), micro_batches == 1);
  }
}

TEST(Invariant, EveryRouterLearns) {
  for (const std::string& router : router_names()) {
    json config = {{"router", {{"type", router}}}, {"model", {{"router_aux_loss_coef", 0}}}};
    config["train"]["steps"] = 60;
    Model model(tiny_config(config));
    double first = 0, last = 0;
    for (int64_t s = 0; s < 60; ++s) {
      model.next_index = 0;  // the same batch every time, which the model must memorise
      last = model.step(s).loss;
      if (s == 0) first = last;
    }
    EXPECT_LT(last, 0.5 * first) << router;
  }
}

}  // namespace
}  // namespace gptmoe::testing
