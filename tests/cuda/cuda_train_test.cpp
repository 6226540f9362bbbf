// Compares training, evaluation, sampling and checkpoints on the CUDA backend with the CPU. Device memory is guarded:
// host code that touches it fails the test.
#include <omp.h>

#include <cmath>

#include "cuda/device.h"
#include "inference/evaluate.h"
#include "inference/generate.h"
#include "inference/likelihoods.h"
#include "model/bf16_curve.h"
#include "support/run_fixture.h"
#include "support/run_weights.h"
#include "support/sanitized.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class GuardedDevice : public ::testing::Test {
 protected:
  GuardedDevice() { omp_set_num_threads(1); }  // tiny models gain nothing from more threads

 private:
  GuardedDeviceMemory guard_;
};

struct Variant {
  std::string name;
  json changes;
  DType compute;
};
std::ostream& operator<<(std::ostream& out, const Variant& variant) { return out << variant.name; }

// A GPU runs the work of a step in the first step, records it in the second and replays it from then on. Under the
// sanitizers, further steps would only repeat that code.
constexpr int64_t kSteps = kSanitized ? 4 : 10;

std::vector<double> first_losses(const Config& config, std::unique_ptr<Ops> ops) {
  Model model(config, std::move(ops));
  std::vector<double> losses;
  for (int64_t s = 0; s < kSteps; ++s) losses.push_back(model.step(s).loss);
  return losses;
}

class FirstSteps : public GuardedDevice, public ::testing::WithParamInterface<Variant> {};

TEST_P(FirstSteps, HaveTheSameLossesAsOnTheCpu) {
  // More tokens and smaller weights than in other tests: with few tokens, the rounding of each one would show in the
  // mean loss.
  json changes = {{"model", {{"initializer_range", 0.1}}}, {"train", {{"micro_batch_size", 4}}}};
  changes.merge_patch(GetParam().changes);
  const Config config = tiny_config(changes);
  const std::vector<double> expected = first_losses(config, make_cpu_ops());
  const std::vector<double> got = first_losses(config, make_cuda_ops(GetParam().compute));
  const double tolerance = GetParam().compute == DType::f32 ? 1e-5 : 2e-2;
  for (size_t s = 0; s < expected.size(); ++s) EXPECT_NEAR(got[s], expected[s], tolerance) << "step " << s + 1;
}

std::vector<Variant> variants() {
  std::vector<Variant> all;
  for (const DType compute : {DType::f32, DType::bf16})
    for (const auto& [name, changes] : std::vector<std::pair<std::string, json>>{
             {"topk", {{"train", {{"global_batch_size", 8}}}}},
             {"default", {{"router", {{"type", "default"}}}, {"train", {{"recompute", "block"}}}}},
             {"default_after_the_step",
              {{"router", {{"type", "default"}, {"ema_update", "step"}, {"ema_clip", 2.0}, {"ema_init", "normal"}}},
               {"model", {{"norm_type", "layernorm"}, {"num_experts_per_tok", 1}, {"router_z_loss_coef", 0.01}}}}},
             {"dense", {{"model", {{"num_experts", 0}, {"hidden_act", "gelu"}, {"tie_word_embeddings", true}}}}},
             {"shared", {{"model", {{"n_shared_experts", 1}, {"first_k_dense_replace", 1}, {"qk_norm", true}}}}},
             {"document_mask_head_norm",
              {{"model", {{"qk_norm", true}, {"qk_norm_scope", "head"}}},
               {"data", {{"document_mask", true}, {"end_of_text", 3}}}}},
             {"attention_bias", {{"model", {{"attention_bias", true}, {"norm_type", "layernorm"}}}}}})
      all.push_back({name + "_" + dtype_name(compute), changes, compute});
  return all;
}
INSTANTIATE_TEST_SUITE_P(Cuda, FirstSteps, ::testing::ValuesIn(variants()),
                         [](const auto& info) { return info.param.name; });

TEST(TwoHundredSteps, InBf16StayWithinOnePercentOfF32) {
  if (kSanitized) GTEST_SKIP() << "compares numbers; the other tests run the same code";
  omp_set_num_threads(1);
  expect_curves_within_one_percent_of_f32([] { return make_cuda_ops(DType::bf16); }, 16, 0.92);
}

TEST(TwoHundredSteps, OfDefaultInBf16AreThoseOfF32) {
  if (kSanitized) GTEST_SKIP() << "compares numbers; the other tests run the same code";
  omp_set_num_threads(1);
  expect_default_curve_close_to_f32([] { return make_cuda_ops(DType::bf16); });
}

class DeviceRun : public GuardedDevice {
 protected:
  Config config(const std::string& device, const std::string& precision = "auto", int64_t steps = 12) const {
    return files_.config({{"device", device},
                          {"precision", precision},
                          {"router", {{"type", "default"}}},
                          {"train", {{"steps", steps}}}});
  }
  static double last_validation_loss(const fs::path& run) {
    double loss = 0;
    for (const json& row : metrics_of(run))
      if (row["event"] == "eval") loss = row["val_loss"];
    return loss;
  }
  fs::path operator/(const std::string& name) const { return files_ / name; }

  RunFolder files_;
};

TEST_F(DeviceRun, AgreesWithTheCpusRun) {
  train_quietly(config("cpu"), *this / "cpu");
  train_quietly(config("cuda", "f32"), *this / "f32");
  train_quietly(config("cuda"), *this / "bf16");
  EXPECT_NEAR(last_validation_loss(*this / "f32"), last_validation_loss(*this / "cpu"), 1e-4);
  EXPECT_NEAR(last_validation_loss(*this / "bf16"), last_validation_loss(*this / "cpu"), 2e-2);
  EXPECT_EQ(events_of(*this / "bf16"), events_of(*this / "cpu"));
}

TEST_F(DeviceRun, ResumesBitForBit) {
  train_quietly(config("cuda"), *this / "whole");
  copy_folder(*this / "whole", *this / "cut");
  cut_back(*this / "cut", 8);
  train_quietly(config("cuda"), *this / "cut", true);
  expect_same_run(*this / "whole", *this / "cut");
}

// Stores moments as 8-bit codes. The matrices consist of whole blocks.
TEST_F(DeviceRun, KeepsMomentsInCodes) {
  const auto coded = [&](const std::string& device) {
    return files_.config(
        {{"device", device},
         {"precision", "f32"},
         {"train", {{"steps", 6}}},
         {"model",
          {{"hidden_size", 16}, {"num_attention_heads", 2}, {"intermediate_size", 16}, {"moe_intermediate_size", 16}}},
         {"optimizer", {{"state_dtype", "8bit"}}}});
  };
  train_quietly(coded("cuda"), *this / "whole");
  train_quietly(coded("cpu"), *this / "cpu");
  EXPECT_NEAR(last_validation_loss(*this / "whole"), last_validation_loss(*this / "cpu"), 2e-2);
  copy_folder(*this / "whole", *this / "cut");
  cut_back(*this / "cut", 4);
  train_quietly(coded("cuda"), *this / "cut", true);
  expect_same_run(*this / "whole", *this / "cut");
}

// The average of the weights follows the f32 masters, and not the bf16 weights that layers use.
TEST_F(DeviceRun, AveragesTheMasters) {
  Config given = config("cuda");
  given.train.weight_ema = 0.6;
  given.checkpoint.every = 1;
  train_quietly(given, *this / "run");
  expect_averages(config("cpu"), *this / "run", 0.6);
}

// A checkpoint holds the f32 master weights, so a run can continue on any device.
TEST_F(DeviceRun, ContinuesOnTheCpu) {
  train_quietly(config("cuda"), *this / "moved");
  copy_folder(*this / "moved", *this / "stayed");
  for (const char* run : {"moved", "stayed"}) cut_back(*this / run, 8);
  train_quietly(config("cpu"), *this / "moved", true);
  train_quietly(config("cuda"), *this / "stayed", true);
  EXPECT_NEAR(last_validation_loss(*this / "moved"), last_validation_loss(*this / "stayed"), 2e-2);
}

TEST_F(DeviceRun, AForwardOnlyModelEvaluatesAndGeneratesAsOnTheCpu) {
  train_quietly(config("cuda"), *this / "run");
  const Config run = config("cpu");
  const TokenLoader loader({files_ / "val_*.bin", 7, 29});
  std::vector<double> losses;
  std::vector<std::vector<int32_t>> texts;
  // The second request is replaced below by generated text; the last one is longer than the window.
  std::vector<Request> requests = {{{5, 9, 2, 28}, 2}, {{1, 2, 3}, 2}, {{7, 7, 1, 0, 4, 11, 20, 3, 6, 17, 12, 8}, 1}};
  std::vector<std::vector<Likelihood>> scores;
  for (const auto& ops : {make_cpu_ops(), make_cuda_ops(DType::f32), make_cuda_ops(DType::bf16)}) {
    const auto communicator = make_single_communicator();
    Engine engine(run, Purpose::forward, 2, 7, *ops);
    engine.commit(*ops);
    load_model(*latest_checkpoint(*this / "run"), engine.gpt().params(), engine.gpt().state(), ops->memory());
    losses.push_back(evaluate(engine, *ops, *communicator, *make_single_world(), loader, 0).loss);
    SamplingOptions likeliest;
    likeliest.temperature = 0;
    TextCache cache(engine.gpt(), *ops, 7);
    generate(cache, {1, 2, 3}, 6, likeliest, {}, Rng(1, 0), [&](int32_t id) {
      texts.resize(losses.size());
      texts.back().push_back(id);
      return true;
    });
    if (scores.empty()) requests[1].tokens = {1, 2, 3, texts[0][0], texts[0][1]}, requests[1].first = 3;
    scores.push_back(score_requests(engine.gpt(), *ops, requests, {14, true}, [](int64_t, int64_t) {}));
  }
  EXPECT_NEAR(losses[1], losses[0], 1e-5);
  EXPECT_NEAR(losses[2], losses[0], 2e-2);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_NEAR(scores[1][i].log_likelihood, scores[0][i].log_likelihood, 1e-4) << i;
    EXPECT_NEAR(scores[2][i].log_likelihood, scores[0][i].log_likelihood, 0.2) << i;
    EXPECT_EQ(scores[1][i].greedy, scores[0][i].greedy) << i;
  }
  EXPECT_TRUE(scores[0][1].greedy);
  EXPECT_EQ(texts[1], texts[0]);
  EXPECT_EQ(texts[2].size(), 6u);
}

}  // namespace
}  // namespace gptmoe::testing
