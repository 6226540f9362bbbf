// Runs that keep a moving average of their weights (train.weight_ema).
#include <omp.h>

#include <cmath>

#include "checkpoint/finite_rows.h"
#include "huggingface/export.h"
#include "inference/evaluate.h"
#include "support/run_fixture.h"
#include "support/run_weights.h"
#include "support/thread_ranks.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class WeightEma : public ::testing::Test {
 protected:
  void SetUp() override { omp_set_num_threads(1); }
  Config config(double decay, const json& distributed = json::object(), const char* optimizer = "adamw") const {
    return folder_.config({{"train", {{"weight_ema", decay}, {"global_batch_size", 4}}},
                           {"router", {{"type", "default"}}},
                           {"optimizer", {{"type", optimizer}}},
                           {"distributed", distributed}});
  }
  void train_on(int ranks, const Config& given, const fs::path& out) const {
    ::testing::internal::CaptureStdout();
    run_ranks(ranks, [&](World& world) {
      omp_set_num_threads(1);
      train(given, {.out = out, .matrix_rate = kMatrixRate}, world);
    });
    ::testing::internal::GetCapturedStdout();
  }
  std::vector<double> weights_of(const fs::path& checkpoint, Weights weights) const {
    return testing::weights_of(config(0), checkpoint, weights);
  }

  RunFolder folder_;
  const fs::path run_ = folder_ / "run";
};

class WeightEmaOf : public WeightEma, public ::testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Optimizers, WeightEmaOf, ::testing::Values("adamw", "muon"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(WeightEmaOf, IsTheAverageOfTheWeights) {
  Config given = config(0.6, json::object(), GetParam());
  given.checkpoint.every = 1;
  train_quietly(given, run_);
  expect_averages(config(0), run_, 0.6);
}

TEST_F(WeightEma, IsEvaluatedAndChangesNothingElse) {
  std::string screen;
  train_quietly(config(0.6), run_, false, &screen);
  train_quietly(config(0), folder_ / "plain");
  for (const char* file : {"model.safetensors", "optimizer.safetensors"})
    EXPECT_EQ(read_text_file(*latest_checkpoint(run_) / file),
              read_text_file(*latest_checkpoint(folder_ / "plain") / file))
        << file;
  const json row = metrics_of(run_).back();
  EXPECT_FALSE(metrics_of(folder_ / "plain").back().contains("val_loss_ema"));
  expect_contains(screen, "\n  average of the weights  loss ");

  const Config given = config(0.6);
  Model model(given);
  load_finite_model(*latest_checkpoint(run_), model.gpt().params(), model.gpt().state(), *model.ops, Weights::average);
  const TokenLoader loader({given.data.val[0].path, 7, 29});
  const EvalResult result =
      evaluate(model.engine, *model.ops, *model.communicator, *make_single_world(), loader, given.train.eval_tokens);
  EXPECT_EQ(row["val_loss_ema"].get<double>(), result.loss);
  EXPECT_NE(row["val_loss_ema"], row["val_loss"]);
}

TEST_F(WeightEma, IsResumedExactly) {
  train_quietly(config(0.9), run_);
  const fs::path cut = folder_ / "cut";
  copy_folder(run_, cut);
  cut_back(cut, 4);
  EXPECT_EQ(train_quietly(config(0.9), cut, true), 0);
  expect_same_run(run_, cut);
  EXPECT_EQ(read_text_file(*latest_checkpoint(run_) / "average.safetensors"),
            read_text_file(*latest_checkpoint(cut) / "average.safetensors"));
}

TEST_P(WeightEmaOf, IsTheSameInPartsOnSeveralRanks) {
  train_on(2, config(0.9, {{"zero_stage", 0}}, GetParam()), folder_ / "whole");
  // The weights and their average are exchanged through the gradients' memory, which is smallest if they are sharded.
  train_on(2, config(0.9, {{"zero_stage", 2}}, GetParam()), folder_ / "parts");
  for (const Weights weights : {Weights::last, Weights::average}) {
    const std::vector<double> whole = weights_of(*latest_checkpoint(folder_ / "whole"), weights),
                              parts = weights_of(*latest_checkpoint(folder_ / "parts"), weights);
    for (size_t i = 0; i < whole.size(); ++i) ASSERT_NEAR(parts[i], whole[i], 1e-4) << i;
  }
  const json whole = metrics_of(folder_ / "whole").back(), parts = metrics_of(folder_ / "parts").back();
  EXPECT_NEAR(parts["val_loss_ema"].get<double>(), whole["val_loss_ema"].get<double>(), 1e-4);
  EXPECT_GT(std::abs(parts["val_loss_ema"].get<double>() - parts["val_loss"].get<double>()), 1e-3);
}

TEST_F(WeightEma, DamageAndAbsenceAreNamed) {
  train_quietly(config(0), folder_ / "plain");
  expect_contains(error_line<UserError>([&] { weights_of(*latest_checkpoint(folder_ / "plain"), Weights::average); }),
                  "has no average of the weights (only runs with train.weight_ema keep one)");
  train_quietly(config(0.9), run_);
  const fs::path file = *latest_checkpoint(run_) / "average.safetensors";
  std::string bytes = read_text_file(file);
  bytes[bytes.size() - 3] ^= 1;
  write_text_file(file, bytes);
  for (const Weights weights : {Weights::last, Weights::average}) {
    if (weights == Weights::last)
      EXPECT_NO_THROW(weights_of(file.parent_path(), weights));
    else
      expect_contains(error_line<UserError>([&] { weights_of(file.parent_path(), weights); }),
                      file.string() + ": does not match its checksum");
  }
  expect_contains(error_line<UserError>([&] { train_quietly(config(0.9), run_, true); }), file.string());
}

TEST_F(WeightEma, IsExported) {
  train_quietly(config(0.6), run_);
  const fs::path checkpoint = *latest_checkpoint(run_);
  for (const Weights weights : {Weights::last, Weights::average}) {
    const fs::path out = folder_ / (weights == Weights::last ? "last" : "average");
    export_model(
        {.checkpoint = checkpoint, .out = out, .config = config(0.6), .weights = weights, .family = custom_family()});
    const SafetensorsFile file(out / "model.safetensors");
    Model model(config(0));
    load_model(checkpoint, model.gpt().params(), model.gpt().state(), host_memory(), weights);
    for (const char* name : {"model.embed_tokens.weight", "model.norm.weight"}) {
      const auto& rows = model.gpt().params().rows();
      const auto row = std::find_if(rows.begin(), rows.end(), [&](const ParamRow& r) { return r.name == name; });
      std::vector<float> exported(static_cast<size_t>(row->count));
      file.check(name, DType::f32, row->sizes);
      file.read_part(name, 0, Tensor(exported.data(), DType::f32, {row->count}));
      const float* expected = model.gpt().params().row_value(*row).as<float>();
      EXPECT_EQ(exported, std::vector<float>(expected, expected + row->count)) << name;
    }
  }
}

TEST_F(WeightEma, IsPlannedWithTheOptimizer) {
  const Config plain = config(0), averaged = config(0.9);
  const auto ops = make_cpu_ops();
  const Engine a(plain, Purpose::train, 2, 7, *ops), b(averaged, Purpose::train, 2, 7, *ops);
  EXPECT_GE(b.total_bytes() - a.total_bytes(), 4 * a.gpt().params().parameter_count());
  EXPECT_LT(b.total_bytes() - a.total_bytes(), 4 * a.gpt().params().element_count() + 256);
}

}  // namespace
}  // namespace gptmoe::testing
