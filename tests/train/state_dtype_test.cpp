// Runs that keep the optimizer's moments in bf16 (optimizer.state_dtype).
#include <omp.h>

#include <cmath>

#include "kernels/plan_ops.h"
#include "support/run_fixture.h"
#include "support/thread_ranks.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class StateDtype : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { omp_set_num_threads(1); }
  Config config(const char* dtype, const json& changes = json::object()) const {
    json all = {{"optimizer", {{"type", GetParam()}, {"state_dtype", dtype}}},
                {"router", {{"type", "default"}}},
                {"train", {{"global_batch_size", 4}}}};
    all.merge_patch(changes);
    return folder_.config(all);
  }
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

  RunFolder folder_;
};

INSTANTIATE_TEST_SUITE_P(Optimizers, StateDtype, ::testing::Values("adamw", "muon"),
                         [](const auto& info) { return std::string(info.param); });

int64_t arena_bytes(const Engine& engine, const std::string& name) {
  for (const Engine::ArenaSize& arena : engine.arena_sizes())
    if (arena.name == name) return arena.bytes;
  return 0;
}

TEST_P(StateDtype, HalvesTheMemoryOfTheMoments) {
  const Model wide(config("f32")), narrow(config("bf16"));  // their memory is allocated
  const Optimizer &a = wide.engine.optimizer(), &b = narrow.engine.optimizer();
  EXPECT_EQ(b.m().dtype(), DType::bf16);
  EXPECT_EQ(b.v().dtype(), DType::bf16);
  EXPECT_EQ(b.m().count(), a.m().count());
  EXPECT_EQ(b.v().count(), a.v().count());
  const int64_t saved = 2 * (a.m().count() + a.v().count());
  EXPECT_NEAR(static_cast<double>(arena_bytes(wide.engine, "optimizer") - arena_bytes(narrow.engine, "optimizer")),
              static_cast<double>(saved), 4 * Arena::kAlignment);
  // In a plan too, with masters beside bf16 weights, and for each of two ranks.
  for (const RankOf rank : {RankOf{}, RankOf{0, 2}}) {
    const auto planned = [&](const char* dtype) {
      return Engine(config(dtype, {{"distributed", {{"zero_stage", 1}}}}), Purpose::train, 2, 7,
                    make_plan_ops(DType::bf16, DType::f32, 1 << 20, 0), rank);
    };
    const Engine in_f32 = planned("f32"), in_bf16 = planned("bf16");
    const int64_t elements = in_f32.optimizer().m().count() + in_f32.optimizer().v().count();
    EXPECT_NEAR(static_cast<double>(arena_bytes(in_f32, "optimizer") - arena_bytes(in_bf16, "optimizer")),
                static_cast<double>(2 * elements), 4 * Arena::kAlignment);
  }
}

TEST_P(StateDtype, KeepsTheLossCurve) {
  const json longer = {{"train", {{"steps", 60}, {"eval_every", 0}}},
                       {"optimizer", {{"learning_rate", 3e-3}}},
                       {"checkpoint", {{"every", 0}}}};
  train_quietly(config("f32", longer), folder_ / "f32");
  train_quietly(config("bf16", longer), folder_ / "bf16");
  const std::vector<double> wide = losses(folder_ / "f32"), narrow = losses(folder_ / "bf16");
  ASSERT_EQ(wide.size(), 60u);
  ASSERT_EQ(narrow.size(), 60u);
  EXPECT_LT(wide.back(), 0.9 * wide.front());
  EXPECT_NE(wide, narrow);
  for (size_t i = 0; i < wide.size(); ++i) EXPECT_NEAR(narrow[i], wide[i], 0.01 * wide[i]) << "step " << i + 1;
}

TEST_P(StateDtype, IsSavedInBf16AndResumedExactly) {
  const Config given = config("bf16");
  train_quietly(given, folder_ / "whole");
  const SafetensorsFile file(*latest_checkpoint(folder_ / "whole") / "optimizer.safetensors");
  for (const SafetensorsFile::Entry& entry : file.entries()) EXPECT_EQ(entry.dtype(), DType::bf16) << entry.name;
  const SafetensorsFile weights(*latest_checkpoint(folder_ / "whole") / "model.safetensors");
  for (const SafetensorsFile::Entry& entry : weights.entries()) EXPECT_NE(entry.dtype(), DType::bf16) << entry.name;
  copy_folder(folder_ / "whole", folder_ / "cut");
  cut_back(folder_ / "cut", 4);
  EXPECT_EQ(train_quietly(given, folder_ / "cut", true), 0);
  expect_same_run(folder_ / "whole", folder_ / "cut");
}

TEST_P(StateDtype, IsHeldInPartsByTheRanks) {
  const auto with_stage = [&](int stage) { return config("bf16", {{"distributed", {{"zero_stage", stage}}}}); };
  train_on(2, with_stage(0), folder_ / "whole");
  const std::vector<double> whole = losses(folder_ / "whole");
  for (const int stage : {1, 2}) {
    SCOPED_TRACE(stage);
    const fs::path run = folder_ / text("parts_", stage), cut = folder_ / text("cut_", stage);
    train_on(2, with_stage(stage), run);
    const std::vector<double> parts = losses(run);
    ASSERT_EQ(parts.size(), whole.size());
    for (size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(parts[i], whole[i], 3e-3 * whole[i]) << "step " << i + 1;
    copy_folder(run, cut);
    cut_back(cut, 8);
    train_on(2, with_stage(stage), cut, true);
    expect_same_run(run, cut);
  }
}

TEST_P(StateDtype, CannotChangeWithinARun) {
  train_quietly(config("f32"), folder_ / "run");
  expect_contains(
      error_line<UserError>([&] { resume_with(config("bf16"), folder_ / "run", {"optimizer.state_dtype"}); }),
      "optimizer.state_dtype");
}

}  // namespace
}  // namespace gptmoe::testing
