// Runs that start from the weights of others: train.init_from, and dense layers that become experts.
#include <omp.h>

#include "base/checksum.h"
#include "huggingface/export.h"
#include "routing/router_defaults.h"
#include "routing/router_table.h"
#include "support/run_fixture.h"
#include "support/thread_ranks.h"
#include "train/run_directory.h"
#include "train/run_history.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class InitFrom : public ::testing::Test {
 protected:
  void SetUp() override { omp_set_num_threads(1); }

  Config from(const fs::path& source, json changes = json::object()) const {
    json all = {{"train", {{"init_from", source.string()}}}};
    all.merge_patch(changes);
    return folder_.config(all);
  }
  // A run whose dense layers are as wide as the experts of the tiny model.
  void train_dense() const {
    train_quietly(folder_.config({{"model", {{"num_experts", 0}, {"intermediate_size", 10}}}}), source_);
  }
  // Exports the last checkpoint of source_.
  void export_source(const std::string& name, Config config) const {
    config.router = with_defaults(config.router, router_setup(config.model));
    export_model({.checkpoint = *latest_checkpoint(source_),
                  .out = folder_ / name,
                  .config = config,
                  .family = *choose_family(config).family});
  }
  static double loss_at(const fs::path& run, int64_t step) {
    for (const json& row : metrics_of(run))
      if (row["event"] == "eval" && row["step"] == step) return row["val_loss"].get<double>();
    ADD_FAILURE() << "no evaluation at step " << step;
    return 0;
  }
  std::string refusal(const Config& config) const {
    const std::string line = error_line<UserError>([&] { train_quietly(config, run_); });
    EXPECT_FALSE(fs::exists(run_)) << "nothing may be left behind";
    return line;
  }

  RunFolder folder_;
  const fs::path source_ = folder_ / "source", run_ = folder_ / "run";
};

TEST_F(InitFrom, TheRunStartsWithTheOtherRunsLoss) {
  train_quietly(folder_.config(), source_);
  std::string screen;
  train_quietly(from(source_), run_, false, &screen);
  EXPECT_EQ(loss_at(run_, 0), loss_at(source_, 12));
  expect_contains(screen, "checkpoints/step_00000012 (step 12); optimizer, schedule and data begin anew");
  EXPECT_EQ(screen.find("not in that model"), std::string::npos) << screen;
  EXPECT_EQ(screen.find("only in that model"), std::string::npos) << screen;
  // Apart from the weights, everything is as in a run that starts from initial values.
  EXPECT_EQ(metrics_of(run_)[1]["lr"], metrics_of(source_)[0]["lr"]);
  const auto record = read_history(run_).history.front().initialized_from;
  ASSERT_TRUE(record);
  EXPECT_EQ(record->checkpoint, fs::canonical(*latest_checkpoint(source_)).string());
}

TEST_F(InitFrom, ACheckpointCanBeChosen) {
  train_quietly(folder_.config(), source_);
  train_quietly(folder_.config({{"train", {{"steps", 4}}}, {"schedule", {{"lr_decay_steps", 12}}}}), folder_ / "short");
  train_quietly(from(source_ / "checkpoints/step_00000004"), run_);
  EXPECT_EQ(loss_at(run_, 0), loss_at(folder_ / "short", 4));
}

TEST_F(InitFrom, DenseLayersBecomeExpertsWithoutChangingTheLoss) {
  train_dense();
  const struct {
    const char* name;
    json router;
    bool norm;
    double scale;  // with E = 5: for K = 1, and for K = 2
    double scale_2;
  } cases[] = {{"topk", {{"type", "topk"}}, false, 5, 2.5},
               {"topk with equal sums", {{"type", "topk"}}, true, 1, 1},
               {"default", {{"type", "default"}}, false, 5, 2.5},
               {"dense", {{"type", "dense"}}, false, 1, 1},
               {"dense gradient", {{"type", "dense_gradient"}}, false, 5, 2.5},
               {"loss free", {{"type", "loss_free"}, {"gate", "sigmoid"}}, false, 2, 1}};
  for (const auto& one : cases)
    for (const int64_t K : {1, 2}) {
      SCOPED_TRACE(text(one.name, ", K = ", K));
      const fs::path run = folder_ / text(one.name, K);
      std::string screen;
      train_quietly(from(source_, {{"router", one.router},
                                   {"train", {{"steps", 1}}},
                                   {"schedule", {{"warmup_steps", 0}}},
                                   {"model",
                                    {{"num_experts_per_tok", K},
                                     {"norm_topk_prob", one.norm},
                                     {"router_aux_loss_coef", one.router.contains("gate") ? 0.0 : 0.01}}}}),
                    run, false, &screen);
      EXPECT_NEAR(loss_at(run, 0), loss_at(source_, 12), 1e-4);
      expect_contains(screen, "30 tensors of experts are copies from dense layers, down projections times ");
      EXPECT_NEAR(std::stod(screen.substr(screen.find("times ") + 6)), K == 1 ? one.scale : one.scale_2, 1e-3);
      expect_contains(screen, "not in that model, initialised: model.layers.0-1.mlp.gate.weight (2)");
      EXPECT_EQ(screen.find("only in that model"), std::string::npos) << screen;
      EXPECT_EQ(screen.find(" was \"topk\" there"), std::string::npos) << "a dense model has no router:\n" << screen;
    }
}

TEST_F(InitFrom, TokensSpreadOverUpcycledExperts) {
  train_dense();
  train_quietly(from(source_), run_);
  const json first = metrics_of(run_).front();
  ASSERT_EQ(first["step"], 0);
  for (const json& layer : first["expert_load"])
    for (const json& load : layer) EXPECT_LT(load.get<double>(), 0.9) << "one expert gets nearly every token";
}

TEST_F(InitFrom, NoiseMakesExpertsDiffer) {
  train_dense();
  const auto noisy = [&](double noise, const std::string& name) {
    train_quietly(from(source_, {{"train", {{"init_noise", noise}}}}), folder_ / name);
    return loss_at(folder_ / name, 0);
  };
  const double none = noisy(0, "none"), some = noisy(0.1, "some"), again = noisy(0.1, "again");
  EXPECT_NE(none, some);
  EXPECT_NEAR(none, some, 0.1);
  EXPECT_EQ(some, again);
}

TEST_F(InitFrom, MissingAndLeftOverTensorsAreNamed) {
  train_quietly(folder_.config(), source_);
  std::string screen;
  train_quietly(from(source_, {{"router", {{"type", "default"}}}}), run_, false, &screen);
  expect_contains(screen, "not in that model, initialised: model.layers.0-1.mlp.default_vectors (2)");
  expect_contains(screen, "router.type was \"topk\" there, and is \"default\" here");
  train_quietly(from(run_), folder_ / "back", false, &screen);
  expect_contains(screen, "only in that model, unused: model.layers.0-1.mlp.default_vectors (2)");
  EXPECT_EQ(screen.find("not in that model"), std::string::npos) << screen;
}

TEST_F(InitFrom, TheLayersOfMissingTensorsAreNamed) {
  train_quietly(folder_.config(), source_);
  std::string screen;
  train_quietly(from(source_, {{"model", {{"num_hidden_layers", 3}}}}), run_, false, &screen);
  expect_contains(screen, " model.layers.2.mlp.gate.weight");
  expect_contains(screen, " model.layers.2.mlp.experts.0-");
  EXPECT_EQ(screen.find("model.layers.0"), std::string::npos) << screen;
}

TEST_F(InitFrom, RanksStartAsOneRankDoes) {
  train_dense();
  const json batch = {{"train", {{"global_batch_size", 4}, {"init_noise", 0.1}}}};
  train_quietly(from(source_, batch), run_);
  json ranks = batch;
  ranks["distributed"] = {{"zero_stage", 1}};
  const fs::path shared = folder_ / "ranks";
  ::testing::internal::CaptureStdout();
  run_ranks(2, [&](World& world) { train(from(source_, ranks), {.out = shared, .matrix_rate = kMatrixRate}, world); });
  ::testing::internal::GetCapturedStdout();
  EXPECT_NEAR(loss_at(shared, 0), loss_at(run_, 0), 1e-6);
}

TEST_F(InitFrom, ResumesWithoutTheOtherRun) {
  train_quietly(folder_.config(), source_);
  train_quietly(from(source_), folder_ / "whole");
  train_quietly(from(source_), run_);
  cut_back(run_, 8);
  fs::rename(source_, folder_ / "elsewhere");
  EXPECT_EQ(train_quietly(from(source_), run_, true), 0);
  expect_same_run(folder_ / "whole", run_);
  expect_contains(error_line<UserError>([&] { train_quietly(folder_.config(), run_, true); }), "train.init_from");
}

TEST_F(InitFrom, StartsAgainFromTheSameWeightsWithoutACheckpoint) {
  train_quietly(folder_.config(), source_);
  train_quietly(from(source_), folder_ / "whole");
  train_quietly(from(source_), run_);
  fs::remove_all(run_ / "checkpoints");
  EXPECT_EQ(resume_with(from(source_), run_, {}, true), 0);
  expect_same_run(folder_ / "whole", run_);
  EXPECT_TRUE(read_history(run_).history.front().initialized_from);
}

TEST_F(InitFrom, AHuggingFaceFolderIsAStartToo) {
  const json dense_first = {{"model", {{"n_shared_experts", 1}, {"first_k_dense_replace", 1}}}};
  train_quietly(folder_.config(dense_first), source_);
  export_source("hf", folder_.config(dense_first));
  std::string screen;
  train_quietly(from(folder_ / "hf", dense_first), run_, false, &screen);
  EXPECT_EQ(loss_at(run_, 0), loss_at(source_, 12));
  expect_contains(screen,
                  (folder_ / "hf").string() + " (Qwen2MoeForCausalLM); optimizer, schedule and data begin anew");
  for (const char* note : {"not in that model", "only in that model", " there, and is "})
    EXPECT_EQ(screen.find(note), std::string::npos) << screen;
  const auto record = read_history(run_).history.front().initialized_from;
  ASSERT_TRUE(record);
  EXPECT_EQ(record->checkpoint, (folder_ / "hf").string());
  EXPECT_EQ(record->checksum, checksum_text(checksum_of(read_text_file(folder_ / "hf/model.safetensors"))));

  json other = dense_first;
  other.merge_patch({{"router", {{"type", "default"}}}, {"model", {{"rope_theta", 500}, {"qk_norm", true}}}});
  train_quietly(from(folder_ / "hf", other), folder_ / "other", false, &screen);
  expect_contains(screen, "model.layers.0-1.self_attn.q_norm.weight (2)");
  expect_contains(screen, "model.layers.1.mlp.default_vectors");
  expect_contains(screen, "router.type was \"topk\" there, and is \"default\" here");
  expect_contains(screen, "model.rope_theta was 10000.0 there, and is 500.0 here");
  train_quietly(from(folder_ / "hf", {{"model", {{"first_k_dense_replace", 1}}}}), folder_ / "less", false, &screen);
  expect_contains(screen, "only in that model, unused: model.layers.1.mlp.shared_experts.down_proj.weight");
}

TEST_F(InitFrom, ADenseHuggingFaceModelBecomesExperts) {
  train_dense();
  export_source("hf", folder_.config({{"model", {{"num_experts", 0}, {"intermediate_size", 10}}}}));
  train_quietly(from(source_), run_);
  json config = json::parse(read_text_file(folder_ / "hf/config.json"));
  config["new_key"] = 1;
  write_text_file(folder_ / "hf/config.json", config.dump());
  std::string screen;
  train_quietly(from(folder_ / "hf"), folder_ / "from_hf", false, &screen);
  expect_contains(screen, "ignored: unknown keys of config.json: new_key");
  EXPECT_EQ(metrics_of(run_), metrics_of(folder_ / "from_hf"));
}

TEST_F(InitFrom, RefusesHuggingFaceFoldersThatDoNotFit) {
  train_quietly(folder_.config(), source_);
  export_source("hf", folder_.config());
  expect_contains(
      refusal(from(folder_ / "hf", {{"model", {{"vocab_size", 31}}}})),
      "hf/model.safetensors: tensor \"model.embed_tokens.weight\": has the shape (29, 12) and not (31, 12)");
  json config = json::parse(read_text_file(folder_ / "hf/config.json"));
  config["use_sliding_window"] = true;
  config["sliding_window"] = 2;
  write_text_file(folder_ / "hf/config.json", config.dump());
  expect_contains(refusal(from(folder_ / "hf")), "hf/config.json: sliding_window: 2 is not supported");
  config.erase("model_type");
  write_text_file(folder_ / "hf/config.json", config.dump());
  expect_contains(refusal(from(folder_ / "hf")), "nor a Hugging Face folder (whose config.json has a model_type)");
}

TEST_F(InitFrom, RefusesWhatDoesNotFit) {
  expect_contains(refusal(from(source_)), "no such file or folder");
  train_quietly(folder_.config(), source_);
  expect_contains(refusal(from(source_, {{"model", {{"hidden_size", 24}}}})),
                  "tensor \"model.embed_tokens.weight\": has the shape (29, 12) and not (29, 24)");
  expect_contains(refusal(from(source_, {{"train", {{"init_noise", 0.1}}}})),
                  "train.init_noise: 0.1, but no expert starts as a copy");
  const fs::path model = *latest_checkpoint(source_) / "model.safetensors";
  std::string bytes = read_text_file(model);
  bytes[bytes.size() - 1] ^= 1;
  write_text_file(model, bytes);
  expect_contains(refusal(from(source_)), "does not match its checksum");
}

TEST_F(InitFrom, RefusesExpertsThatCannotStartAsTheDenseLayer) {
  train_dense();
  expect_contains(refusal(from(source_, {{"model", {{"moe_intermediate_size", 12}}}})),
                  "an expert is as wide as the dense layer that it is copied from");
  expect_contains(refusal(from(source_, {{"model", {{"n_shared_experts", 1}}}})), "model.n_shared_experts = 0");
  expect_contains(refusal(from(source_, {{"router", {{"type", "remoe"}}}, {"model", {{"router_aux_loss_coef", 0}}}})),
                  "cannot become the experts of router.type = \"remoe\"");
  expect_contains(refusal(from(source_, {{"router", {{"type", "sparsemixer"}}}})), "router.type = \"sparsemixer\"");
  expect_contains(refusal(from(source_, {{"router", {{"type", "default"}, {"ema_weighting", "uniform"}}}})),
                  "only with router.ema_weighting = \"score\"");
}

}  // namespace
}  // namespace gptmoe::testing
