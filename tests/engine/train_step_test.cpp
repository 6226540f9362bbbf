// A training step, an evaluation, and the memory they use.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>
#include <limits>

#include "engine/explain_step.h"
#include "inference/evaluate.h"
#include "kernels/plan_ops.h"
#include "support/run_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

const ParamRow& row_named(Model& model, const std::string& name) {
  for (const ParamRow& row : model.gpt().params().rows())
    if (row.name == name) return row;
  throw std::out_of_range(name);
}

void fill(const Tensor& x, float value) { std::fill_n(x.as<float>(), x.count(), value); }

// All tokens of micro-batch i are ids[i].
NextBatch batches_of(std::vector<int32_t> ids) {
  return [ids, i = size_t{0}](const Tensor& tokens, const Tensor& targets) mutable {
    std::fill_n(tokens.as<int32_t>(), tokens.count(), ids.at(i++));
    std::fill_n(targets.as<int32_t>(), targets.count(), 0);
  };
}

void explain(Model& model, const NextBatch& batches, int64_t step) {
  explain_step(model.steps->train_step(), batches, step, *make_single_world());
}

// A step that is finite when it is computed again does not show that the run diverged, so the run may be resumed.
TEST(TrainStep, AStepThatIsFiniteWhenComputedAgainIsNotADivergence) {
  omp_set_num_threads(1);
  Model model(tiny_config());
  try {
    explain(model, batches_of({3}), 4);
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Failure& failure) {
    EXPECT_EQ(dynamic_cast<const NumericFailure*>(&failure), nullptr);
    expect_contains(failure.what(), "not finite at step 5, but was finite when the step was computed again");
  }
}

std::string failure_of(Model& model, const NextBatch& batches, int64_t step) {
  const NextBatch again = batches;
  EXPECT_FALSE(model.step(step, NextBatch(batches)).finite());
  return error_line<Failure>([&] { explain(model, again, step); });
}

TEST(TrainStep, NamesTheStepTheMicroBatchAndTheParameterOfANonfiniteLoss) {
  omp_set_num_threads(1);
  Model model(tiny_config({{"train", {{"global_batch_size", 6}}}}));
  model.gpt().params().row_value(row_named(model, "model.embed_tokens.weight")).rows(17, 1).as<float>()[3] = kInfinity;
  const auto before = model.parameter_bytes();
  const std::string line = failure_of(model, batches_of({5, 17, 5}), 6);
  expect_contains(line, "the loss is not finite at step 7, micro-batch 2");
  expect_contains(line, "first offending tensor: parameter model.embed_tokens.weight");
  EXPECT_EQ(model.parameter_bytes(), before);
}

TEST(TrainStep, NamesTheFirstOutputThatOverflows) {
  Model model(tiny_config());
  fill(model.gpt().params().row_value(row_named(model, "model.layers.1.input_layernorm.weight")), 3e38f);
  fill(model.gpt().params().row_value(row_named(model, "model.layers.1.self_attn.v_proj.weight")), 3e38f);
  expect_contains(failure_of(model, batches_of({5}), 0), "first offending tensor: output of model.layers.1");
}

TEST(TrainStep, RefusesGradientsThatOverflowBeforeAnyParameterMoves) {
  Model model(tiny_config());
  // All logits are 0, so the loss is finite, but the gradient of the norm's weight is as large as the head's weights.
  fill(model.gpt().params().row_value(row_named(model, "model.norm.weight")), 0.0f);
  const Tensor head = model.gpt().params().row_value(row_named(model, "lm_head.weight"));
  for (int64_t i = 0; i < head.count(); ++i) head.as<float>()[i] *= 1e25f;
  const auto before = model.parameter_bytes();
  const std::string line = failure_of(model, batches_of({5}), 2);
  expect_contains(line, "the gradient is not finite at step 3");
  expect_contains(line, "sum of squares of the gradients");
  EXPECT_EQ(model.parameter_bytes(), before);
}

TEST(TrainStep, NamesTheMicroBatchAndTheFirstGradientThatOverflows) {
  Model model(tiny_config({{"model", {{"num_experts", 0}}}, {"train", {{"global_batch_size", 6}}}}));
  const auto value = [&](const char* name) { return model.gpt().params().row_value(row_named(model, name)); };
  const auto set_column = [&](const char* name, float x) {
    const Tensor w = value(name);
    for (int64_t i = 0; i < w.size(0); ++i) w.as<float>()[i * w.size(1)] = x;
  };
  // Column 0 of the residual stream is 0 where layer 1 reads it, so large weights there affect only the backward.
  set_column("model.embed_tokens.weight", 0);
  fill(value("model.layers.0.self_attn.o_proj.weight").rows(0, 1), 0);
  fill(value("model.layers.0.mlp.down_proj.weight").rows(0, 1), 0);
  const auto batches = [&, i = 0](const Tensor& tokens, const Tensor& targets) mutable {
    random_batch(tokens, targets, 29, 1);
    const float size = ++i < 2 ? 1.0f : 1e30f;
    set_column("model.layers.1.self_attn.v_proj.weight", size);
    value("model.layers.1.input_layernorm.weight").as<float>()[0] = size;
  };
  const std::string line = failure_of(model, batches, 0);
  expect_contains(line, "the gradient is not finite at step 1, micro-batch 2");
  expect_contains(line, "first offending tensor: gradient of model.layers.0.mlp.down_proj.weight");
}

TEST(TrainStep, RoutersLearnOnlyFromTrainingPasses) {
  Model model(tiny_config({{"router", {{"type", "default"}}}}));
  const Tensor vectors = model.gpt().state().rows().at(0).value;
  const auto moved = [&](PassKind kind) {
    const std::vector<float> before(vectors.as<float>(), vectors.as<float>() + vectors.count());
    model.load_batch(1);
    model.gpt().forward(model.pass(kind), model.activations());
    return before != std::vector<float>(vectors.as<float>(), vectors.as<float>() + vectors.count());
  };
  EXPECT_TRUE(moved(PassKind::train));
  EXPECT_FALSE(moved(PassKind::recompute));
  EXPECT_FALSE(moved(PassKind::evaluate));
}

class Evaluation : public ::testing::Test {
 protected:
  TokenLoader loader() { return TokenLoader({folder_ / "val_*.bin", 7, 29}); }
  EvalResult with_batches_of(int64_t B, int64_t tokens) {
    Model model(tiny_config({{"train", {{"micro_batch_size", B}}}, {"router", {{"type", "default"}}}}));
    return evaluate(model.engine, *model.ops, *model.communicator, *make_single_world(), loader(), tokens);
  }
  RunFolder folder_;
};

TEST_F(Evaluation, IsTheMeanOverAllTokensWhateverTheBatchSize) {
  const EvalResult one = with_batches_of(1, 0);
  EXPECT_EQ(one.tokens, 11 * 7);
  for (int64_t B : {2, 4, 11, 16}) {
    const EvalResult other = with_batches_of(B, 0);
    EXPECT_EQ(other.tokens, one.tokens) << B;
    EXPECT_NEAR(other.loss, one.loss, 1e-6) << B;
    EXPECT_NEAR(other.perplexity, std::exp(one.loss), 1e-4) << B;
    for (const auto& layer : other.expert_load) {
      double sum = 0;
      for (double share : layer) sum += share;
      EXPECT_NEAR(sum, 1, 1e-6) << B;
    }
  }
}

TEST_F(Evaluation, AgreesWithTheLossOfEachWindow) {
  Model model(tiny_config({{"train", {{"micro_batch_size", 1}}}}));
  const TokenLoader data = loader();
  double sum = 0;
  for (int64_t w = 0; w < 3; ++w) {
    data.window(w, model.activations().tokens_BT.view({7}), model.activations().targets_BT.view({7}));
    model.gpt().forward(model.pass(PassKind::evaluate), model.activations());
    model.gpt().loss(model.pass(PassKind::evaluate), model.activations());
    for (int64_t t = 0; t < 7; ++t) sum += host_value(model.activations().losses_N, t);
  }
  const EvalResult result = evaluate(model.engine, *model.ops, *model.communicator, *make_single_world(), data, 27);
  EXPECT_EQ(result.tokens, 21) << "27 tokens hold three whole windows";
  EXPECT_DOUBLE_EQ(result.loss, sum / 21);
}

TEST_F(Evaluation, ReportsTheLossOfEveryWindowOnce) {
  Model model(tiny_config({{"train", {{"micro_batch_size", 4}}}}));
  std::vector<double> losses;
  const EvalResult result = evaluate(model.engine, *model.ops, *model.communicator, *make_single_world(), loader(), 0,
                                     [&](int64_t window, double loss) {
                                       EXPECT_EQ(window, std::ssize(losses));
                                       losses.push_back(loss);
                                     });
  ASSERT_EQ(std::ssize(losses), evaluated_windows(loader(), 7, 0));
  double sum = 0;
  for (const double loss : losses) sum += loss;
  EXPECT_NEAR(result.loss, sum / 11, 1e-12);
  EXPECT_NE(losses[0], losses[1]);
}

TEST_F(Evaluation, TakesNoMoreThanThereIs) {
  EXPECT_EQ(with_batches_of(2, 1 << 30).tokens, 77);
  EXPECT_EQ(with_batches_of(2, 3).tokens, 7) << "less than a window counts as one window";
}

// A plan allocates nothing, yet must give the sizes that training allocates; a step that needed more would fail.
TEST(Plan, HasTheSizesThatTrainingTakes) {
  for (const json& changes : std::vector<json>{
           {},
           {{"train", {{"recompute", "block"}, {"micro_batch_size", 3}, {"global_batch_size", 9}}}},
           {{"model", {{"num_experts", 0}, {"hidden_act", "gelu"}, {"tie_word_embeddings", true}}}},
           {{"model",
             {{"n_shared_experts", 2}, {"first_k_dense_replace", 1}, {"qk_norm", true}, {"attention_bias", true}}}},
           {{"router", {{"type", "dense"}}}, {"model", {{"norm_type", "layernorm"}, {"num_experts_per_tok", 5}}}},
           {{"router", {{"type", "default"}, {"ema_clip", 2.0}, {"ema_update", "step"}}},
            {"model", {{"router_z_loss_coef", 0.1}, {"num_experts_per_tok", 1}}}}}) {
    const Config config = tiny_config(changes);
    SCOPED_TRACE(changes.dump());
    const Engine plan(config, Purpose::train, config.train.micro_batch_size, config.train.sequence_length,
                      make_plan_ops(*make_cpu_ops()));
    Model model(config);
    model.step(0);
    model.gpt().forward(model.pass(PassKind::evaluate), model.activations());
    model.gpt().loss(model.pass(PassKind::evaluate), model.activations());
    const auto planned = plan.arena_sizes(), taken = model.engine.arena_sizes();
    ASSERT_EQ(planned.size(), taken.size());
    for (size_t i = 0; i < planned.size(); ++i) {
      EXPECT_EQ(planned[i].name, taken[i].name);
      EXPECT_EQ(planned[i].bytes, taken[i].bytes) << planned[i].name;
    }
    EXPECT_EQ(plan.total_bytes(), model.engine.total_bytes());
    EXPECT_GT(plan.backward_flops_per_token(), plan.forward_flops_per_token());
  }
}

TEST(StepQueue, OnlyLoggedStepsReportTheNormsOfDefaultVectors) {
  Model model(tiny_config({{"router", {{"type", "default"}}}, {"train", {{"steps", 5}}}, {"log", {{"every", 2}}}}));
  for (int64_t s = 0; s < 5; ++s) EXPECT_EQ(model.step(s).default_norms.has_value(), s == 1 || s == 3 || s == 4) << s;
}

}  // namespace
}  // namespace gptmoe::testing
