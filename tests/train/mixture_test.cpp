// Runs with several sources of training data and several validation sets.
#include <omp.h>

#include "support/run_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

class Mixture : public ::testing::Test {
 protected:
  void SetUp() override {
    omp_set_num_threads(1);
    write_random_shard(folder_ / "val_1.bin", 29, 100, 4);
  }

  json source(const char* shard, double weight) const {
    return {{"path", (folder_ / shard).string()}, {"name", shard}, {"weight", weight}};
  }
  Config config(double first = 3, double second = 1) const {
    const json train = {source("train_0.bin", first), source("train_1.bin", second)};
    const json val = {{"a", (folder_ / "val_0.bin").string()}, {"b", (folder_ / "val_1.bin").string()}};
    return folder_.config({{"data", {{"train", train}, {"val", val}}}, {"train", {{"eval_tokens", 0}}}});
  }

  RunFolder folder_;
  const fs::path run_ = folder_ / "run";
};

TEST_F(Mixture, ResumesExactly) {
  train_quietly(config(), folder_ / "whole");
  train_quietly(config(), run_);
  cut_back(run_, 8);
  EXPECT_EQ(train_quietly(config(), run_, true), 0);
  expect_same_run(folder_ / "whole", run_);
}

TEST_F(Mixture, RecordsWhatItRead) {
  std::string screen;
  train_quietly(config(), run_, false, &screen);
  expect_contains(screen, "source      train_0.bin: 75.0% of the tokens, 2.00 epochs of 67");
  const std::vector<json> rows = metrics_of(run_);
  EXPECT_EQ(rows[1]["source_share"], (json{{"train_0.bin", 0.75}, {"train_1.bin", 0.25}})) << "3 of 4 sequences";
  const CheckpointState state = read_checkpoint_state(*latest_checkpoint(run_));
  ASSERT_EQ(state.loader.sources.size(), 2u);
  EXPECT_EQ(state.loader.sources[0].epoch, 2);
  EXPECT_EQ(state.loader.sources[0].position, 0);
  EXPECT_EQ(state.loader.sources[1].position, 6);
  EXPECT_EQ(state.loader.epoch * state.loader.windows + state.loader.position, 24);
}

TEST_F(Mixture, NewWeightsContinueInEachSource) {
  train_quietly(config(), run_);
  cut_back(run_, 8);  // 16 sequences: 12 and 4
  EXPECT_EQ(resume_with(config(1, 3), run_, {"data.train"}), 0);
  const CheckpointState state = read_checkpoint_state(*latest_checkpoint(run_));
  EXPECT_EQ(state.loader.sources[0].epoch * 9 + state.loader.sources[0].position, 12 + 2);
  EXPECT_EQ(state.loader.sources[1].epoch * 8 + state.loader.sources[1].position, 4 + 6);
}

TEST_F(Mixture, SourcesThatStayContinueInABranch) {
  write_random_shard(folder_ / "new.bin", 29, 60, 5);
  train_quietly(config(), run_);  // 24 sequences: 18 and 6
  json more = to_json(config());
  more["data"]["train"] = {source("new.bin", 1), source("train_1.bin", 2), source("train_0.bin", 1)};
  more["train"]["steps"] = 16;
  const fs::path branch = folder_ / "branch";
  std::string screen;
  {
    ::testing::internal::CaptureStdout();
    train(parse_config(more, "more"), {.out = branch, .branch = run_, .matrix_rate = kMatrixRate},
          *make_single_world());
    screen = ::testing::internal::GetCapturedStdout();
  }
  expect_contains(screen,
                  "note: data.train: new.bin was not read before step 12 and begins at the first sequence; the "
                  "other sources continue\n");
  expect_contains(screen, "source      train_1.bin: 50.0% of the tokens (25.0% so far), 1.25 epochs of 58\n");
  expect_contains(screen, "source      new.bin: 25.0% of the tokens (0.0% so far), 0.25 epochs of 60\n");
  const CheckpointState state = read_checkpoint_state(*latest_checkpoint(branch));
  const auto read = [&](size_t s) {
    return state.loader.sources[s].epoch * state.loader.sources[s].windows + state.loader.sources[s].position;
  };
  EXPECT_EQ(read(0), 2);
  EXPECT_EQ(read(1), 6 + 4);
  EXPECT_EQ(read(2), 18 + 2);
}

TEST_F(Mixture, SaysIfAShardIsInTwoSources) {
  json twice = to_json(config());
  twice["data"]["train"] = {{{"path", (folder_ / "train_*.bin").string()}, {"name", "all"}},
                            {{"path", (folder_ / "train_1.bin").string()}, {"name", "again"}}};
  std::string screen;
  train_quietly(parse_config(twice, "twice"), run_, false, &screen);
  const std::string shard = (folder_ / "train_1.bin").string();
  expect_contains(screen, "twice       1 shard in two sources with the same tokens: " + shard + " (again) and " +
                              shard + " (all)\n");
  train_quietly(config(), folder_ / "once", false, &screen);
  EXPECT_EQ(screen.find("twice"), std::string::npos);
}

TEST_F(Mixture, ANewListReplacesTheOldOne) {
  train_quietly(folder_.config(), run_);
  Config more = config();
  more.train.steps = 14;
  EXPECT_EQ(resume_with(more, run_, {"data.train", "data.val", "train.steps", "train.eval_tokens"}), 0);
  EXPECT_EQ(run_config(run_).data, more.data);
  EXPECT_EQ(read_checkpoint_state(*latest_checkpoint(run_)).loader.sources[0].position, 3) << "from its beginning";
  more.data.train.pop_back();
  more.data.val.pop_back();
  more.train.steps = 16;
  EXPECT_EQ(resume_with(more, run_, {"data.train", "data.val", "train.steps"}), 0);
  EXPECT_EQ(run_config(run_).data, more.data);
  const RunHistory record = read_history(run_);
  ASSERT_EQ(record.history.size(), 3u);
  ASSERT_FALSE(record.history[2].changes.empty());
  EXPECT_EQ(record.history[2].changes[0].first, "train.steps");
  EXPECT_EQ(record.history[2].changes[1].first, "data.train");
}

TEST_F(Mixture, TheSameShardsInOtherSourcesAreReadFromTheirBeginning) {
  train_quietly(folder_.config(), run_);
  Config other = config();
  other.data.val = folder_.config().data.val;
  other.train.eval_tokens = folder_.config().train.eval_tokens;
  other.train.steps = 14;
  EXPECT_EQ(resume_with(other, run_, {"data.train", "train.steps"}), 0);
  EXPECT_EQ(read_checkpoint_state(*latest_checkpoint(run_)).loader.position, 4);
}

TEST_F(Mixture, ValidationSetsAreEvaluatedByThemselves) {
  train_quietly(config(), run_);
  const json row = metrics_of(run_).back();
  ASSERT_EQ(row["event"], "eval");
  const double a = row["val_loss_by_set"]["a"], b = row["val_loss_by_set"]["b"];
  EXPECT_NEAR(row["val_loss"].get<double>(), (11 * a + 14 * b) / 25, 1e-12) << "11 and 14 windows";
  for (const auto& [name, loss] : {std::pair("val_0.bin", a), {"val_1.bin", b}}) {
    json alone = to_json(config());
    alone["data"]["val"] = (folder_ / name).string();
    const fs::path run = folder_ / (std::string("alone_") + name);
    train_quietly(parse_config(alone, "alone"), run);
    const json only = metrics_of(run).back();
    EXPECT_EQ(only["val_loss"].get<double>(), loss) << name;
    EXPECT_FALSE(only.contains("val_loss_by_set"));
  }
}

}  // namespace
}  // namespace gptmoe::testing
