// What must hold whatever the numbers are.
#include <gtest/gtest.h>

#include <cmath>

#include "inference/evaluate.h"
#include "support/model_fixture.h"

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

TEST(Invariant, ZeroDefaultVectorsGiveTheForwardOfTopk) {
  Model topk(tiny_config()), with_default(tiny_config({{"router", {{"type", "default"}}}}));
  EXPECT_EQ(forward_losses(topk), forward_losses(with_default));
}

TEST(Invariant, DenseRouterIsTopkWithEveryExpert) {
  Model dense(tiny_config({{"router", {{"type", "dense"}}}}));
  Model all(tiny_config({{"model", {{"num_experts_per_tok", 5}}}}));
  for (int64_t s = 0; s < 3; ++s) EXPECT_EQ(dense.step(s).loss, all.step(s).loss);
  EXPECT_EQ(dense.parameter_bytes(), all.parameter_bytes());
}

// Without the balance loss, which some routers refuse and all but the default one are meant to do without.
json only_router(const char* type) {
  return {{"router", {{"type", type}}}, {"model", {{"router_aux_loss_coef", 0.0}}}};
}

class Evaluation : public ::testing::TestWithParam<const char*> {};

TEST_P(Evaluation, ChangesNothing) {
  Model model(tiny_config(only_router(GetParam())));
  model.step(0);
  const auto params = model.parameter_bytes();
  const auto& state = model.gpt().state().rows();
  std::vector<double> before, after;
  const auto collect = [&](std::vector<double>& out) {
    for (const StateRow& row : state)
      for (int64_t i = 0; i < row.value.count(); ++i)
        out.push_back(row.dtype == DType::i64 ? static_cast<double>(row.value.as<int64_t>()[i])
                                              : host_value(row.value, i));
  };
  collect(before);
  forward_losses(model);
  collect(after);
  EXPECT_EQ(before, after);
  EXPECT_EQ(params, model.parameter_bytes());
  double magnitude = 0;
  for (double x : before) magnitude += std::abs(x);
  EXPECT_GT(magnitude, 0) << "the step before should have moved the router's state";
}

INSTANTIATE_TEST_SUITE_P(Routers, Evaluation, ::testing::Values("default", "loss_free", "remoe", "sparsemixer"),
                         [](const auto& info) { return std::string(info.param); });

class Recompute : public ::testing::TestWithParam<json> {};

TEST_P(Recompute, GivesTheSameBits) {
  json off = GetParam(), on = GetParam();
  on["train"]["recompute"] = "block";
  Model kept(tiny_config(off)), recomputed(tiny_config(on));
  for (int64_t s = 0; s < 4; ++s) EXPECT_EQ(kept.step(s).loss, recomputed.step(s).loss) << "step " << s;
  EXPECT_EQ(kept.parameter_bytes(), recomputed.parameter_bytes());
}

INSTANTIATE_TEST_SUITE_P(
    Routers, Recompute,
    ::testing::Values(json::object(), json{{"router", {{"type", "default"}}}},
                      json{{"router", {{"type", "default"}, {"ema_update", "step"}, {"ema_clip", 2.0}}}},
                      json{{"router", {{"type", "dense_gradient"}}}},
                      json{{"model", {{"balance_scope", "step"}}}, {"train", {{"global_batch_size", 4}}}},
                      json{{"router", {{"type", "loss_free"}, {"bias_rate", 0.05}}}},
                      json{{"router", {{"type", "remoe"}, {"l1_coefficient", 0.1}, {"l1_factor", 2}}},
                           {"model", {{"router_aux_loss_coef", 0.0}}}},
                      json{{"router", {{"type", "sparsemixer"}, {"jitter", 0.5}}}},
                      json{{"model", {{"first_k_dense_replace", 1}, {"n_shared_experts", 1}, {"qk_norm", true}}}},
                      json{{"model", {{"attention_bias", true}}}}));

// What a router has learnt, in values: default vectors, biases, coefficients.
std::vector<double> learnt(Model& model) {
  std::vector<double> values;
  for (const StateRow& row : model.gpt().state().rows())
    for (int64_t i = 0; row.persistent && row.dtype == DType::f64 && i < row.value.count(); ++i)
      values.push_back(host_value(row.value, i));
  return values;
}

// 4 sequences at once and as 4 micro-batches of 1: the same step, where the router's objective does not depend on how a
// batch is split (no balance loss; default vectors moved once per step). What the router learnt is the same, too.
class Accumulation : public ::testing::TestWithParam<json> {};

TEST_P(Accumulation, EqualsABiggerBatch) {
  json whole = GetParam(), parts = GetParam();
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

INSTANTIATE_TEST_SUITE_P(
    Routers, Accumulation,
    ::testing::Values(
        json{{"model", {{"router_aux_loss_coef", 0.0}}}},
        json{{"model", {{"router_aux_loss_coef", 0.0}, {"router_z_loss_coef", 0.1}}}},
        json{{"model", {{"router_aux_loss_coef", 0.0}}}, {"router", {{"type", "default"}, {"ema_update", "step"}}}},
        json{{"model", {{"router_aux_loss_coef", 0.0}}},
             {"router", {{"type", "default"}, {"ema_update", "step"}, {"ema_weighting", "uniform"}}}},
        json{{"model", {{"router_aux_loss_coef", 0.0}}}, {"router", {{"type", "loss_free"}, {"bias_rate", 0.05}}}},
        json{{"model", {{"router_aux_loss_coef", 0.0}}}, {"router", {{"type", "remoe"}, {"l1_coefficient", 1e-15}}}},
        json{{"model", {{"router_aux_loss_coef", 0.0}}}, {"router", {{"type", "sparsemixer"}, {"jitter", 0.5}}}}));

// Over a step, each micro-batch sees the loads of those before it and its own; the next step starts anew.
TEST(Invariant, TheBalanceLossMayCountTokensOverTheStep) {
  json config = {{"model", {{"balance_scope", "step"}, {"router_aux_loss_coef", 0.5}}},
                 {"train", {{"micro_batch_size", 1}, {"global_batch_size", 3}}}};
  Model over_step(tiny_config(config));
  config["model"]["balance_scope"] = "micro_batch";
  for (int64_t s = 0; s < 2; ++s) over_step.step(s);
  const Routing& routing = over_step.activations().blocks[0].moe.routing;
  const Tensor& sums = over_step.engine.sums().router_LW;  // of the last step
  for (int64_t e = 0; e < 5; ++e)
    EXPECT_NEAR(host_value(routing.balance_fractions_E, e), host_value(sums, e) / 3, 1e-6) << e;
  // The first micro-batch of the first step is judged alike; the second is not.
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

// Work and active parameters are those of the K experts that it aims at, memory that of all E.
TEST(Invariant, RemoeIsPlannedByItsTarget) {
  Model topk(tiny_config(only_router("topk"))), remoe(tiny_config(only_router("remoe")));
  EXPECT_EQ(remoe.engine.forward_flops_per_token(), topk.engine.forward_flops_per_token());
  EXPECT_EQ(remoe.engine.backward_flops_per_token(), topk.engine.backward_flops_per_token());
  EXPECT_EQ(remoe.gpt().active_parameter_count(), topk.gpt().active_parameter_count());
  EXPECT_EQ(remoe.activations().blocks[0].moe.rows_RC.size(0), 5 * topk.activations().losses_N.size(0));
}

// The number of experts in use goes where lambda drives it, where there is something to learn.
TEST(Invariant, RemoeComesToUseAsManyExpertsAsPlanned) {
  json config = only_router("remoe");
  config["model"]["num_experts_per_tok"] = 1;
  config["router"]["l1_coefficient"] = 1e-2;
  config["router"]["l1_factor"] = 1.05;
  config["train"]["steps"] = 400;
  config["optimizer"]["learning_rate"] = 3e-3;
  Model model(tiny_config(config));
  const auto live_per_token = [&] {
    double sum = 0;
    const Tensor& stats = model.activations().router_stats_LW;
    for (int64_t layer = 0; layer < 2; ++layer)
      for (int64_t e = 0; e < 5; ++e) sum += host_value(stats, layer * stats.size(1) + e) / 2;
    return sum;
  };
  model.step(0);
  EXPECT_GT(live_per_token(), 1.8) << "about a half of all at first";
  double late = 0;
  for (int64_t s = 1; s < 400; ++s) {
    model.next_index = 0;  // the same batch again and again
    model.step(s);
    if (s >= 300) late += live_per_token() / 100;
  }
  EXPECT_NEAR(late, 1, 0.1);
}

TEST(Invariant, EveryRouterLearns) {
  for (const char* router : {"topk", "default", "dense", "dense_gradient", "loss_free", "remoe", "sparsemixer"}) {
    json config = only_router(router);
    config["train"]["steps"] = 60;
    Model model(tiny_config(config));
    double first = 0, last = 0;
    for (int64_t s = 0; s < 60; ++s) {
      model.next_index = 0;  // the same batch again and again: it must be learnt by heart
      last = model.step(s).loss;
      if (s == 0) first = last;
    }
    EXPECT_LT(last, 0.5 * first) << router;
  }
}

}  // namespace
}  // namespace gptmoe::testing
