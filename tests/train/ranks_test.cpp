// Several ranks compute what a single rank does: losses, gradient norms, parameters, default vectors, evaluations,
// checkpoints.
#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "data/open_sources.h"
#include "engine/config_for_rank.h"
#include "engine/explain_step.h"
#include "inference/evaluate.h"
#include "support/error_line.h"
#include "support/router_cases.h"
#include "support/run_fixture.h"
#include "support/sanitized.h"
#include "support/thread_ranks.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

constexpr int64_t kSteps = kSanitized ? 12 : 50;  // more steps only repeat the code

// One rank's part of a training run.
struct Rank {
  World& world;
  Config config;
  std::unique_ptr<Ops> ops;
  std::unique_ptr<Communicator> communicator;
  Engine engine;
  BatchLoader loader;
  std::optional<StepQueue> queue;

  Rank(const Config& given, World& w, std::unique_ptr<Ops> backend)
      : world(w),
        config(config_for_rank(given, w.size())),
        ops(std::move(backend)),
        communicator(w.make_host_communicator()),
        engine(config, Purpose::train, config.train.micro_batch_size, config.train.sequence_length, *ops,
               {w.rank(), w.size()}),
        loader(open_training_data(config, w.rank(), w.size())) {
    omp_set_num_threads(1);
    engine.commit(*ops);
    engine.gpt().initialize(ops->memory(), 1);
    queue.emplace(config, engine, *ops, *communicator);
  }
  StepResult step(int64_t s) {
    queue->ask([&](const Tensor& x, const Tensor& y) { loader.next_batch(x, y); }, s);
    return queue->report();
  }
  CheckpointTensors tensors() {
    return {engine.gpt().params(),
            engine.gpt().state(),
            engine.optimizer().m().values(),
            engine.optimizer().v().values(),
            ops->memory(),
            engine.optimizer().partition(),
            &world,
            engine.optimizer().second_moments()};
  }
};

// The results of a run: the report of every step, and the final parameters and state.
struct Outcome {
  std::vector<StepResult> steps;
  std::vector<double> parameters, state;
  EvalResult all, some;  // over all validation data, and over too few sequences for all ranks
};

std::vector<double> state_values(Memory& memory, const Tensor& value) {
  if (value.dtype() != DType::i64) return download_values(memory, value);
  std::vector<int64_t> integers(static_cast<size_t>(value.count()));
  memory.download(integers.data(), value);
  return {integers.begin(), integers.end()};
}

Outcome train_on(int ranks, const Config& config) {
  Outcome outcome;
  run_ranks(ranks, [&](World& world) {
    Rank rank(config, world, make_cpu_ops_f64(1));
    std::vector<StepResult> steps;
    for (int64_t s = 0; s < kSteps; ++s) steps.push_back(rank.step(s));
    rank.queue->train_step().gather_weights();
    EXPECT_TRUE(dynamic_cast<ThreadCommunicator&>(*rank.communicator).idle());
    std::vector<double> parameters, state;
    Memory& memory = rank.ops->memory();
    for (const ParamRow& row : rank.engine.gpt().params().rows())
      for (double x : download_values(memory, rank.engine.gpt().params().row_value(row))) parameters.push_back(x);
    for (const StateRow& row : rank.engine.gpt().state().rows())
      for (double x : state_values(memory, row.value)) state.push_back(x);
    const std::vector<std::string> alike =
        world.all_gather({reinterpret_cast<const char*>(parameters.data()), parameters.size() * sizeof(double)});
    for (const std::string& other : alike) EXPECT_EQ(other, alike[0]) << "every rank has the same parameters";
    const TokenLoader val({config.data.val[0].path, config.train.sequence_length, config.model.vocab_size});
    const auto evaluated = [&](int64_t tokens) {
      return evaluate(rank.engine, *rank.ops, *rank.communicator, world, val, tokens);
    };
    const EvalResult all = evaluated(0), some = evaluated(14);
    if (world.is_root()) outcome = {steps, parameters, state, all, some};
  });
  return outcome;
}

void expect_near(const std::vector<double>& got, const std::vector<double>& expected, double tolerance) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], expected[i], tolerance * (1 + std::abs(expected[i]))) << i;
}

void expect_same(const EvalResult& got, const EvalResult& expected, double tolerance) {
  EXPECT_EQ(got.tokens, expected.tokens);
  EXPECT_NEAR(got.loss, expected.loss, tolerance);
  expect_near(got.router_entropy, expected.router_entropy, tolerance);
  expect_near(got.fill_share, expected.fill_share, tolerance);
  ASSERT_EQ(got.expert_load.size(), expected.expert_load.size());
  for (size_t layer = 0; layer < expected.expert_load.size(); ++layer)
    expect_near(got.expert_load[layer], expected.expert_load[layer], tolerance);
}

void expect_same(const Outcome& got, const Outcome& expected, double tolerance) {
  expect_same(got.all, expected.all, tolerance);
  for (size_t s = 0; s < expected.steps.size(); ++s) {
    const StepResult &a = got.steps[s], &b = expected.steps[s];
    ASSERT_NEAR(a.loss, b.loss, tolerance) << s;
    ASSERT_NEAR(a.grad_norm, b.grad_norm, tolerance * (1 + b.grad_norm)) << s;
    expect_near(a.load_balance_loss, b.load_balance_loss, tolerance);
    ASSERT_NEAR(a.expert_load_max, b.expert_load_max, tolerance) << s;
    ASSERT_NEAR(a.expert_load_min, b.expert_load_min, tolerance) << s;
  }
  expect_near(got.parameters, expected.parameters, tolerance);
  expect_near(got.state, expected.state, tolerance);
  EXPECT_EQ(got.some.tokens, expected.some.tokens);
  EXPECT_NEAR(got.some.loss, expected.some.loss, tolerance);
}

// 16 sequences per step, in micro-batches of 8 over all ranks together.
json rank_run(int ranks, int zero_stage) {
  return {{"train", {{"steps", kSteps}, {"global_batch_size", 16}, {"micro_batch_size", 8 / ranks}}},
          {"distributed", {{"zero_stage", zero_stage}}},
          {"optimizer", {{"learning_rate", 3e-3}}}};
}

class Ranks : public ::testing::TestWithParam<std::tuple<RouterCase, int>> {
 protected:
  Config config(int ranks, const json& changes = json::object()) const {
    json run = std::get<0>(GetParam()).changes();
    run.merge_patch(rank_run(ranks, std::get<1>(GetParam())));
    run.merge_patch(changes);
    return files_.config(run);
  }
  RunFolder files_;
};

TEST_P(Ranks, TrainAsOneRankDoes) {
  const Outcome one = train_on(1, config(1));
  EXPECT_LT(one.steps.back().loss, one.steps.front().loss);
  for (int ranks : {2, 4}) expect_same(train_on(ranks, config(ranks)), one, 1e-8);
}

TEST_P(Ranks, TrainAsOneRankDoesWithRecomputationATiedHeadBiasesAndADocumentMask) {
  const json changes = {{"train", {{"recompute", "block"}}},
                        {"data", {{"document_mask", true}, {"end_of_text", 5}}},
                        {"model", {{"tie_word_embeddings", true}, {"attention_bias", true}}}};
  expect_same(train_on(2, config(2, changes)), train_on(1, config(1, changes)), 1e-8);
}

// For routers whose results do not depend on the micro-batches.
class RanksOfWholeSteps : public Ranks {};

TEST_P(RanksOfWholeSteps, MaySplitTheBatchDifferently) {
  const json loss = {{"model", {{"router_aux_loss_coef", 0}}}};
  Config cut_otherwise = config(4, loss);
  cut_otherwise.train.micro_batch_size = 1;
  const Outcome one = train_on(1, config(1, loss)), four = train_on(4, cut_otherwise);
  expect_near(four.parameters, one.parameters, 1e-8);
  expect_near(four.state, one.state, 1e-8);
}

TEST_P(Ranks, ReduceGradientsInBf16) {
  const Outcome one = train_on(1, config(1));
  const Outcome two = train_on(2, config(2, {{"distributed", {{"reduce_dtype", "bf16"}}}}));
  // Rounding moves some tokens across the thresholds of Expert Threshold.
  const double tolerance = config(1).router.type == "expert_threshold" ? 4e-2 : 2e-2;
  for (size_t s = 0; s < one.steps.size(); ++s) {
    EXPECT_NEAR(two.steps[s].loss, one.steps[s].loss, tolerance) << s;
    if (s > 0) {
      EXPECT_NE(two.steps[s].grad_norm, one.steps[s].grad_norm) << s;
    }
  }
}

// A run saved on one number of ranks resumes on another.
void expect_resumes_on_any_number_of_ranks(const RunFolder& files, const std::function<Config(int ranks)>& config) {
  constexpr int64_t kFirst = 5, kAll = 9;
  std::vector<double> expected;
  for (int from : {1, 2, 4}) {
    const fs::path run = files / ("from_" + std::to_string(from));
    run_ranks(from, [&](World& world) {
      Rank rank(config(from), world, make_cpu_ops_f64(1));
      for (int64_t s = 0; s < kFirst; ++s) rank.step(s);
      rank.queue->train_step().gather_weights();
      save_checkpoint(run, kFirst, rank.tensors(), {.step = kFirst, .loader = rank.loader.state(), .config = {}}, 0);
    });
    for (int to : {1, 2, 4}) {
      run_ranks(to, [&](World& world) {
        Rank rank(config(to), world, make_cpu_ops_f64(1));
        const CheckpointState state = load_checkpoint(*latest_checkpoint(run), rank.tensors());
        rank.loader.restore({kFirst * 16 / 17, state.loader.position, 17});
        std::vector<double> losses;
        for (int64_t s = kFirst; s < kAll; ++s) losses.push_back(rank.step(s).loss);
        if (!world.is_root()) return;
        if (expected.empty()) expected = losses;
        expect_near(losses, expected, 1e-8);
      });
    }
  }
}

TEST_P(Ranks, ResumeOnAnyNumberOfRanks) {
  expect_resumes_on_any_number_of_ranks(files_, [this](int ranks) { return config(ranks); });
}

// The parameter is the ZeRO stage. From stage 1 on, the ranks' parts end within matrices.
class RanksWithMuon : public ::testing::TestWithParam<int> {
 protected:
  Config config(int ranks) const {
    json run = rank_run(ranks, GetParam());
    run["model"] = {{"first_k_dense_replace", 1}};
    run["optimizer"]["type"] = "muon";
    run["optimizer"]["groups"] = {{{"match", "*.mlp.gate.weight"}, {"type", "muon"}},
                                  {{"match", "*.k_proj.weight"}, {"type", "adamw"}, {"learning_rate_scale", 0.5}}};
    return files_.config(run);
  }
  RunFolder files_;
};

TEST_P(RanksWithMuon, TrainAsOneRankDoes) {
  const Outcome one = train_on(1, config(1));
  EXPECT_LT(one.steps.back().loss, one.steps.front().loss);
  for (int ranks : {2, 4}) expect_same(train_on(ranks, config(ranks)), one, 1e-8);
}

TEST_P(RanksWithMuon, ResumeOnAnyNumberOfRanks) {
  expect_resumes_on_any_number_of_ranks(files_, [this](int ranks) { return config(ranks); });
}

INSTANTIATE_TEST_SUITE_P(Train, RanksWithMuon, ::testing::Values(0, 1, 2));

// The gradient that overflows first is in rank 1's part only.
TEST(RanksThatDiverge, NameTheFirstGradientThatOverflowsOnAnyRank) {
  const RunFolder files;
  for (const int stage : {0, 1, 2}) {
    SCOPED_TRACE(stage);
    const Config config = files.config({{"model", {{"num_experts", 0}}},
                                        {"train", {{"global_batch_size", 4}}},
                                        {"distributed", {{"zero_stage", stage}}}});
    run_ranks(2, [&](World& world) {
      Rank rank(config, world, make_cpu_ops());
      const ParamTable& params = rank.engine.gpt().params();
      const auto row_named = [&](const std::string& name) {
        return *std::find_if(params.rows().begin(), params.rows().end(),
                             [&](const ParamRow& row) { return row.name == name; });
      };
      // Sets the weights of the residual stream's last column. Dimension `dim` of the tensor is the stream's.
      const auto set_last = [&](const std::string& name, size_t dim, float x) {
        const Tensor w = params.row_value(row_named(name));
        const int64_t columns = w.count() / w.size(0);
        if (dim == 0) std::fill_n(w.as<float>() + w.count() - columns, columns, x);
        for (int64_t i = columns - 1; dim == 1 && i < w.count(); i += columns) w.as<float>()[i] = x;
      };
      // That column is 0 where layer 1 reads it, so large weights there affect only the backward.
      set_last("model.embed_tokens.weight", 1, 0);
      set_last("model.layers.0.self_attn.o_proj.weight", 0, 0);
      const std::string down = "model.layers.0.mlp.down_proj.weight";
      set_last(down, 0, 0);
      set_last("model.layers.1.self_attn.v_proj.weight", 1, 1e30f);
      set_last("model.layers.1.input_layernorm.weight", 0, 1e30f);
      const NextBatch batches = [&](const Tensor& x, const Tensor& y) { rank.loader.next_batch(x, y); };
      const std::string line =
          error_line<NumericFailure>([&] { explain_step(rank.queue->train_step(), batches, 0, world); });
      EXPECT_TRUE(
          line.starts_with("the gradient is not finite at step 1, micro-batch 1; first offending tensor: "
                           "gradient of " +
                           down + "."))
          << line;
      if (stage < 2 || !world.is_root()) return;
      for (const Tensor& part : params.held_row_grads(row_named(down))) EXPECT_EQ(rank.ops->count_nonfinite(part), 0);
    });
  }
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<RouterCase, int>>& info) {
  return text(std::get<0>(info.param).name, "_zero_", std::get<1>(info.param));
}

// One case per router, and the case whose state moves once per step.
std::vector<RouterCase> cases_of_ranks() {
  std::vector<RouterCase> cases = one_case_per_router();
  cases.push_back(router_case("default_step"));
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Train, Ranks,
                         ::testing::Combine(::testing::ValuesIn(cases_of_ranks()), ::testing::Values(0, 1)), name_of);
// Gradients do not depend on the router, so one case is enough: one whose state moves in every micro-batch.
INSTANTIATE_TEST_SUITE_P(ShardGradients, Ranks,
                         ::testing::Combine(::testing::Values(router_case("default")), ::testing::Values(2)), name_of);
INSTANTIATE_TEST_SUITE_P(Train, RanksOfWholeSteps,
                         ::testing::Combine(::testing::ValuesIn(router_cases(&RouterTrial::cut_freely)),
                                            ::testing::Values(0, 1)),
                         name_of);

}  // namespace
}  // namespace gptmoe::testing
