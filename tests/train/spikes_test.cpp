// Runs that skip outliers (train.skip_spikes).
#include <omp.h>

#include "support/run_fixture.h"
#include "support/thread_ranks.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class Spikes : public ::testing::Test {
 protected:
  void SetUp() override {
    omp_set_num_threads(1);
    // 24 sequences, an epoch of 12 steps. All but one of them repeat one token.
    std::vector<int32_t> tokens(24 * 7 + 1, 3);
    for (int32_t i = 0; i < 7; ++i) tokens[static_cast<size_t>(5 * 7 + i)] = 10 + i;
    write_shard(folder_ / "odd.bin", 29, tokens);
  }
  Config config(double deviations = 4) const {
    return folder_.config({{"data", {{"train", folder_ / "odd.bin"}}},
                           {"train", {{"steps", 24}, {"skip_spikes", deviations}, {"skip_spikes_window", 6}}},
                           {"optimizer", {{"learning_rate", 0.03}}},
                           {"router", {{"type", "default"}}}});
  }

  RunFolder folder_;
  const fs::path run_ = folder_ / "run";
};

TEST_F(Spikes, AreCountedAndResumedExactly) {
  std::string screen;
  ASSERT_EQ(train_quietly(config(), run_, false, &screen), 0);
  int64_t last = 0;
  for (const json& row : metrics_of(run_)) {
    if (row["event"] != "train") continue;
    if (row["skipped_steps"] > last)
      expect_contains(screen, text("step ", row["step"].get<int64_t>(), "  skipped: loss "));
    last = row["skipped_steps"];
  }
  ASSERT_GE(last, 1) << screen;
  expect_contains(screen, " 1 skipped\n");
  const CheckpointState end = read_checkpoint_state(*latest_checkpoint(run_));
  ASSERT_TRUE(end.spikes);
  EXPECT_EQ(end.spikes->skipped, last);
  EXPECT_EQ(end.spikes->losses.size(), 6u);
  for (const int64_t step : {8, 16}) {
    const fs::path cut = folder_ / ("cut_" + std::to_string(step));
    copy_folder(run_, cut);
    cut_back(cut, step);
    EXPECT_EQ(train_quietly(config(), cut, true), 0);
    expect_same_run(run_, cut);
    EXPECT_EQ(read_checkpoint_state(*latest_checkpoint(cut)).spikes, end.spikes);
  }
}

TEST_F(Spikes, AreTheSameOnTwoRanks) {
  Config one = config();
  one.train.global_batch_size = 4;
  train_quietly(one, run_);
  const auto skipped = [](const fs::path& run) {
    std::vector<json> counts;
    for (const json& row : metrics_of(run))
      if (row["event"] == "train") counts.push_back(row["skipped_steps"]);
    return counts;
  };
  const std::vector<json> expected = skipped(run_);
  EXPECT_GE(expected.back(), 1);
  for (const int stage : {0, 2}) {
    Config two = one;
    two.distributed.zero_stage = stage;
    const fs::path other = folder_ / text("two_", stage);
    ::testing::internal::CaptureStdout();
    run_ranks(2, [&](World& world) {
      omp_set_num_threads(1);
      train(two, {.out = other, .matrix_rate = kMatrixRate}, world);
    });
    ::testing::internal::GetCapturedStdout();
    EXPECT_EQ(skipped(other), expected) << "stage " << stage;
  }
}

// The window of earlier steps is too old to compare with, but the count stays that of the whole run.
TEST_F(Spikes, AreCountedOverStepsThatSkipNone) {
  train_quietly(config(), run_);
  cut_back(run_, 16);
  const int64_t before = read_checkpoint_state(*latest_checkpoint(run_)).spikes->skipped;
  ASSERT_GE(before, 1);
  Config off = config(0);
  off.train.steps = 20;
  EXPECT_EQ(resume_with(off, run_, {"train.skip_spikes", "train.steps"}), 0);
  json last;
  for (const json& row : metrics_of(run_))
    if (row["event"] == "train") last = row;
  EXPECT_EQ(last["step"], 20);
  EXPECT_EQ(last["skipped_steps"], before);
  EXPECT_EQ(*read_checkpoint_state(*latest_checkpoint(run_)).spikes, (SpikeRecord{{}, {}, before}));
  EXPECT_EQ(resume_with(config(), run_, {"train.skip_spikes", "train.steps"}), 0);
  const SpikeRecord end = *read_checkpoint_state(*latest_checkpoint(run_)).spikes;
  EXPECT_GE(end.skipped, before);
  EXPECT_EQ(end.losses.size(), 4u) << "the steps since";
}

TEST_F(Spikes, MayBeSkippedFromAStepOn) {
  ASSERT_EQ(train_quietly(config(0), run_), 0);
  EXPECT_FALSE(metrics_of(run_)[0].contains("skipped_steps"));
  EXPECT_FALSE(read_checkpoint_state(*latest_checkpoint(run_)).spikes);
  cut_back(run_, 8);
  EXPECT_EQ(resume_with(config(4), run_, {"train.skip_spikes"}), 0);
  EXPECT_EQ(read_history(run_).history.back().changes[0].first, "train.skip_spikes");
  EXPECT_TRUE(read_checkpoint_state(*latest_checkpoint(run_)).spikes);
}

}  // namespace
}  // namespace gptmoe::testing
