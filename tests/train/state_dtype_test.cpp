// Runs that keep the optimizer's moments in bf16 or in 8-bit codes (optimizer.state_dtype).
#include <omp.h>

#include <cmath>

#include "checkpoint/finite_rows.h"
#include "kernels/block_code.h"
#include "kernels/plan_ops.h"
#include "support/run_fixture.h"
#include "support/thread_ranks.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

struct Variant {
  const char *optimizer, *dtype;
};

class StateDtype : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override { omp_set_num_threads(1); }
  // Matrices of whole blocks of 256 elements, except the embeddings and the head, which end within a block.
  Config config(const char* dtype, const json& changes = json::object()) const {
    json all = {{"model",
                 {{"hidden_size", 16},
                  {"num_attention_heads", 2},
                  {"intermediate_size", 16},
                  {"moe_intermediate_size", 16},
                  {"qk_norm", true}}},
                {"optimizer", {{"type", GetParam().optimizer}, {"state_dtype", dtype}}},
                {"router", {{"type", "default"}}},
                {"train", {{"global_batch_size", 4}}}};
    all.merge_patch(changes);
    return folder_.config(all);
  }
  Config config() const { return config(GetParam().dtype); }
  bool coded() const { return GetParam().dtype == std::string("8bit"); }
  static void train_on(int ranks, const Config& given, const fs::path& out, bool resume = false) {
    ::testing::internal::CaptureStdout();
    run_ranks(ranks, [&](World& world) {
      omp_set_num_threads(1);
      train(given, {.out = out, .resume = resume, .matrix_rate = kMatrixRate}, world);
    });
    ::testing::internal::GetCapturedStdout();
  }
  static std::vector<double> losses(const fs::path& run) {
    std::vector<double> found;
    for (const json& row : metrics_of(run))
      if (row["event"] == "train") found.push_back(row["loss"].get<double>());
    return found;
  }
  static void expect_near(const fs::path& run, const fs::path& expected, double tolerance) {
    const std::vector<double> found = losses(run), wanted = losses(expected);
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 0; i < found.size(); ++i)
      EXPECT_NEAR(found[i], wanted[i], tolerance * wanted[i]) << "step " << i + 1;
  }

  RunFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Optimizers, StateDtype,
                         ::testing::Values(Variant{"adamw", "bf16"}, Variant{"muon", "bf16"}, Variant{"adamw", "8bit"},
                                           Variant{"muon", "8bit"}),
                         [](const auto& info) { return std::string(info.param.optimizer) + "_" + info.param.dtype; });

int64_t arena_bytes(const Engine& engine, const std::string& name) {
  for (const Engine::ArenaSize& arena : engine.arena_sizes())
    if (arena.name == name) return arena.bytes;
  return 0;
}

// The bytes that a moment saves against f32.
int64_t saved_bytes(const Moment& moment) {
  const int64_t coded = moment.coded().held.count();
  return moment.values().count() * (4 - dtype_bytes(moment.values().dtype())) + 3 * coded - 4 * blocks_of(coded);
}

TEST_P(StateDtype, TakesLessMemoryForTheMoments) {
  const auto expect_saved = [&](const Engine& wide, const Engine& narrow) {
    const Optimizer &a = wide.optimizer(), &b = narrow.optimizer();
    for (const auto& [from, to] : {std::pair{&a.m(), &b.m()}, std::pair{&a.v(), &b.v()}}) {
      EXPECT_EQ(to->values().dtype(), coded() ? DType::f32 : DType::bf16);
      EXPECT_EQ(to->values().count() + to->coded().held.count(), from->values().count());
    }
    if (coded()) {
      EXPECT_GT(b.m().coded().held.count(), b.m().values().count());  // of which most are padding
    }
    const int64_t saved = arena_bytes(wide, "optimizer") - arena_bytes(narrow, "optimizer");
    EXPECT_NEAR(static_cast<double>(saved), static_cast<double>(saved_bytes(b.m()) + saved_bytes(b.v())),
                6 * Arena::kAlignment);
  };
  const Model wide(config("f32")), narrow(config());  // their memory is allocated
  expect_saved(wide.engine, narrow.engine);
  // In a plan too, with masters beside bf16 weights, and for each of two ranks.
  for (const RankOf rank : {RankOf{}, RankOf{0, 2}}) {
    const auto planned = [&](const char* dtype) {
      return Engine(config(dtype, {{"distributed", {{"zero_stage", 1}}}}), Purpose::train, 2, 7,
                    make_plan_ops(DType::bf16, DType::f32, 1 << 20, 0), rank);
    };
    expect_saved(planned("f32"), planned(GetParam().dtype));
  }
}

TEST_P(StateDtype, KeepsTheLossCurve) {
  const json longer = {{"train", {{"steps", 60}, {"eval_every", 0}}},
                       {"optimizer", {{"learning_rate", 3e-3}}},
                       {"checkpoint", {{"every", 0}}}};
  train_quietly(config("f32", longer), folder_ / "f32");
  train_quietly(config(GetParam().dtype, longer), folder_ / "narrow");
  const std::vector<double> wide = losses(folder_ / "f32");
  ASSERT_EQ(wide.size(), 60u);
  EXPECT_LT(wide.back(), 0.9 * wide.front());
  EXPECT_NE(wide, losses(folder_ / "narrow"));
  expect_near(folder_ / "narrow", folder_ / "f32", coded() ? 0.02 : 0.01);  // with so few weights, noise shows
}

// The rows of optimizer.safetensors have the types that keep the moments; the weights stay in f32.
TEST_P(StateDtype, IsSavedAsItIsKeptAndResumedExactly) {
  const Config given = config();
  train_quietly(given, folder_ / "whole");
  const fs::path checkpoint = *latest_checkpoint(folder_ / "whole");
  const SafetensorsFile file(checkpoint / "optimizer.safetensors");
  int64_t codes = 0;
  for (const SafetensorsFile::Entry& entry : file.entries()) {
    EXPECT_TRUE(coded() || entry.dtype() == DType::bf16) << entry.name;
    if (entry.dtype() != DType::u8) continue;
    ++codes;
    std::string scales = entry.name;
    scales.insert(1, "_scales");
    ASSERT_TRUE(file.find(scales)) << scales;
    EXPECT_EQ(file.find(scales)->sizes, std::vector<int64_t>{blocks_of(entry.count())});
    EXPECT_EQ(file.find(scales)->dtype(), DType::f32);
  }
  EXPECT_EQ(codes > 20, coded()) << codes;
  const SafetensorsFile weights(checkpoint / "model.safetensors");
  for (const SafetensorsFile::Entry& entry : weights.entries()) EXPECT_EQ(entry.dtype(), DType::f32) << entry.name;
  copy_folder(folder_ / "whole", folder_ / "cut");
  cut_back(folder_ / "cut", 4);
  EXPECT_EQ(train_quietly(given, folder_ / "cut", true), 0);
  expect_same_run(folder_ / "whole", folder_ / "cut");
}

TEST_P(StateDtype, IsHeldInPartsByTheRanks) {
  const auto with_stage = [&](int stage) {
    return config(GetParam().dtype, {{"distributed", {{"zero_stage", stage}}}});
  };
  train_on(2, with_stage(0), folder_ / "whole");
  for (const int stage : {1, 2}) {
    SCOPED_TRACE(stage);
    const fs::path run = folder_ / text("parts_", stage), cut = folder_ / text("cut_", stage);
    train_on(2, with_stage(stage), run);
    expect_near(run, folder_ / "whole", 3e-3);
    copy_folder(run, cut);
    cut_back(cut, 8);
    train_on(2, with_stage(stage), cut, true);
    expect_same_run(run, cut);
  }
}

// Neither the blocks nor the draws depend on the number of ranks, so a rounding differs only where the sums of the
// gradients do.
TEST_P(StateDtype, ContinuesOnAnotherNumberOfRanks) {
  const Config given = config(
      GetParam().dtype,
      {{"distributed", {{"zero_stage", 1}}}, {"router", {{"type", "topk"}}}, {"model", {{"router_aux_loss_coef", 0}}}});
  train_on(1, given, folder_ / "one");
  train_on(2, given, folder_ / "two");
  expect_near(folder_ / "two", folder_ / "one", 1e-3);
  const fs::path mixed = folder_ / "mixed";
  copy_folder(folder_ / "two", mixed);
  cut_back(mixed, 8);
  train_on(1, given, mixed, true);
  expect_near(mixed, folder_ / "one", 1e-3);
}

TEST_P(StateDtype, CannotChangeWithinARun) {
  train_quietly(config("f32"), folder_ / "run");
  expect_contains(error_line<UserError>([&] { resume_with(config(), folder_ / "run", {"optimizer.state_dtype"}); }),
                  "optimizer.state_dtype");
}

// A scale that is infinite or not a number is found before a checkpoint is saved or used, and named.
TEST_P(StateDtype, NamesTheRowOfANonfiniteMoment) {
  Model model(config());
  const Moment& m = model.engine.optimizer().m();
  const CheckpointTensors tensors{model.gpt().params(),
                                  model.gpt().state(),
                                  m.values(),
                                  model.engine.optimizer().v().values(),
                                  host_memory(),
                                  model.engine.optimizer().partition(),
                                  nullptr,
                                  model.engine.optimizer().second_moments(),
                                  {},
                                  m.coded(),
                                  model.engine.optimizer().v().coded()};
  EXPECT_EQ(first_nonfinite_row(*model.ops, tensors), "");
  const double infinite = INFINITY;
  upload_values(host_memory(), (coded() ? m.coded().scales : m.values()).rows(0, 1), &infinite);
  EXPECT_EQ(first_nonfinite_row(*model.ops, tensors),
            std::string(coded() ? "m_scales." : "m.") + "model.embed_tokens.weight");
}

}  // namespace
}  // namespace gptmoe::testing
