// gptmoe compare never mixes two data sets in one verdict.
#include "base/lock.h"
#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

class CompareData : public CommandLine {
 protected:
  void SetUp() override {
    write_config("topk.json");
    write_config("default.json", {{"router", {{"type", "default"}}}});
  }
  static std::vector<std::string> command(const std::vector<std::string>& more = {}) {
    std::vector<std::string> all = {"compare", "topk.json", "default.json", "--out", "both"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

TEST_F(CompareData, ARunThatReadOtherTokensIsNotReused) {
  succeed(command());
  fs::remove_all(files_ / "both/default");
  const std::string metrics = read_text_file(files_ / "both/topk/seed_1/metrics.jsonl");
  for (const char* shard : {"train_1.bin", "val_0.bin"}) {
    const std::string intact = read_text_file(files_ / shard);
    std::string changed = intact;
    changed[1024 + 30] ^= 1;
    write_text_file(files_ / shard, changed);
    for (const char* jobs : {"1", "2"})
      refuse(command({"--jobs", jobs}),
             {std::string(shard) + ": has other tokens than when the run read it; restore it, or train "
                                   "both/topk/seed_1 anew with --restart, or choose another --out"});
    EXPECT_FALSE(fs::exists(files_ / "both/default")) << "nothing is trained";
    write_text_file(files_ / shard, intact);
  }
  write_random_shard(files_ / "train_2.bin", 29, 40, 9);
  refuse(command(), {"train_2.bin: is new since the run began; remove it, or train both/topk/seed_1 anew"});
  EXPECT_EQ(read_text_file(files_ / "both/topk/seed_1/metrics.jsonl"), metrics);
  fs::remove(files_ / "train_2.bin");
  expect_contains(succeed(command()).out, "reusing     both/topk/seed_1");
}

TEST_F(CompareData, RestartTrainsAnewWhatReadOtherTokens) {
  succeed(command());
  write_random_shard(files_ / "val_0.bin", 29, 80, 50);
  for (const char* jobs : {"1", "2"}) {
    fs::remove_all(files_ / "both/default");
    const std::string out = succeed(command({"--restart", "--jobs", jobs})).out;
    EXPECT_EQ(out.find("reusing"), std::string::npos);
    expect_contains(out, "retraining  both/topk/seed_1: its data or start weights have changed");
    succeed({"compare", "topk.json", "default.json", "--out", "fresh"});
    for (const char* run : {"topk/seed_1", "default/seed_1"})
      expect_same_run(files_ / "fresh" / run, files_ / "both" / run);
    expect_contains(succeed(command({"--restart"})).out, "reusing     both/topk/seed_1");
    write_random_shard(files_ / "val_0.bin", 29, 80, 51);
    fs::remove_all(files_ / "fresh");
  }
}

TEST_F(CompareData, ARunThatStartedFromOtherWeightsIsNotReused) {
  succeed({"train", "topk.json", "--out", "start"});
  const std::vector<std::string> from = {"--set", "train.init_from=start"};
  succeed(command(from));
  fs::remove_all(files_ / "both/default");
  fs::remove_all(files_ / "start");
  succeed({"train", "topk.json", "--out", "start", "--set", "seed=9"});
  refuse(command(from), {"start/checkpoints/step_00000012: has other weights than those from which both/topk/seed_1 "
                         "started; restore them, or train both/topk/seed_1 anew with --restart"});
  std::vector<std::string> anew = from;
  anew.push_back("--restart");
  expect_contains(succeed(command(anew)).out, "retraining  both/topk/seed_1");
  EXPECT_EQ(metrics_of(files_ / "both/topk/seed_1")[0]["val_loss"], metrics_of(files_ / "start").back()["val_loss"]);
}

TEST_F(CompareData, RunsStartFromAHuggingFaceFolder) {
  succeed({"train", "topk.json", "--out", "start"});
  succeed({"export", "start", "--out", "hf"});
  const std::vector<std::string> from = {"--set", "train.init_from=hf"};
  succeed(command(from));
  EXPECT_EQ(metrics_of(files_ / "both/default/seed_1")[0]["val_loss"], metrics_of(files_ / "start").back()["val_loss"]);
  fs::remove_all(files_ / "both/default");
  expect_contains(succeed(command(from)).out, "reusing     both/topk/seed_1");
  fs::remove_all(files_ / "both/default");
  fs::remove_all(files_ / "hf");
  succeed({"export", "both/topk/seed_1", "--out", "hf"});
  refuse(command(from), {"hf: has other weights than those from which both/topk/seed_1 started"});
}

// A folder that contains the folder from which the runs started does not count as their start.
TEST_F(CompareData, AFolderAboveTheStartIsNotTheStart) {
  succeed({"train", "topk.json", "--out", "start"});
  fs::create_directories(files_ / "models/sub");
  succeed({"export", "start", "--out", "models/sub/hf"});
  succeed(command({"--set", "train.init_from=models/sub/hf"}));
  fs::remove_all(files_ / "both/default");
  refuse(command({"--set", "train.init_from=models"}), {"models: neither a run's folder"});
}

TEST_F(CompareData, AllRunsStartFromOneCheckpoint) {
  succeed({"train", "topk.json", "--out", "start"});
  const double first = metrics_of(files_ / "start").back()["val_loss"];
  const std::vector<std::string> from = {"--set", "train.init_from=start"};
  succeed(command(from));
  // The run "start" trains for more steps. The compared runs still start from the checkpoint of step 12.
  succeed({"train", "topk.json", "--out", "start", "--resume", "--set", "train.steps=20"});
  expect_contains(succeed(command(from)).out, "reusing     both/topk/seed_1");
  fs::remove_all(files_ / "both/default");
  succeed(command(from));
  EXPECT_EQ(metrics_of(files_ / "both/default/seed_1")[0]["val_loss"], first);
  // Runs that already exist no longer need the run "start".
  fs::rename(files_ / "start", files_ / "elsewhere");
  cut_back(files_ / "both/default/seed_1", 8);
  fs::remove_all(files_ / "both/default/seed_1/metrics.jsonl");
  succeed(command(from));
}

TEST_F(CompareData, AnInterruptedRunIsNotContinuedOnOtherTokens) {
  succeed(command());
  cut_back(files_ / "both/default/seed_1", 8);
  fs::remove(files_ / "both/default/seed_1/metrics.jsonl");
  write_random_shard(files_ / "train_0.bin", 29, 67, 60);
  refuse(command(), {"train_0.bin: has other tokens", "train both/topk/seed_1 anew with --restart"});
  fs::remove_all(files_ / "both/topk");
  refuse(command(), {"train_0.bin: has other tokens", "train both/default/seed_1 anew with --restart"});
}

TEST_F(CompareData, ArmsMustReadTheSame) {
  write_random_shard(files_ / "more.bin", 29, 100, 9);
  write_config("other.json", {{"data", {{"val", files_ / "more.bin"}}}});
  refuse({"compare", "topk.json", "other.json", "--out", "both"},
         {"other, seed 1: data.val ", "more.bin has other tokens than ", "val_0.bin of topk, seed 1",
          "give both the same data.val"});
  EXPECT_FALSE(fs::exists(files_ / "both"));
  fs::copy(files_ / "val_0.bin", files_ / "copy.bin");
  write_config("other.json", {{"data", {{"val", files_ / "copy.bin"}}}});
  succeed({"compare", "topk.json", "other.json", "--out", "both"});  // the same tokens under another name
}

TEST_F(CompareData, ArmsMustMixTheirSourcesAlike) {
  const auto mixed = [&](double weight) {
    const nlohmann::json sources = {{{"path", (files_ / "train_0.bin").string()}, {"weight", weight}},
                                    {{"path", (files_ / "train_1.bin").string()}, {"weight", 1}}};
    return nlohmann::json{{"data", {{"train", sources}}}};
  };
  write_config("one.json", mixed(1));
  write_config("three.json", mixed(3));
  refuse({"compare", "one.json", "three.json", "--out", "mixed"},
         {"three, seed 1: data.train mixes its sources differently from one, seed 1"});
  refuse({"compare", "one.json", "topk.json", "--out", "mixed"}, {"data.train mixes its sources differently"});
  EXPECT_FALSE(fs::exists(files_ / "mixed"));
}

TEST_F(CompareData, ArmsMustMaskDocumentsAlike) {
  write_config("masked.json", {{"data", {{"document_mask", true}, {"end_of_text", 5}}}});
  write_config("other.json", {{"data", {{"document_mask", true}, {"end_of_text", 6}}}});
  refuse({"compare", "topk.json", "masked.json", "--out", "both"},
         {"masked, seed 1: data.document_mask differs from that of topk, seed 1, so their losses cannot be compared"});
  refuse({"compare", "masked.json", "other.json", "--out", "both"}, {"other, seed 1: data.end_of_text differs"});
  EXPECT_FALSE(fs::exists(files_ / "both"));
}

TEST_F(CompareData, ARunWhoseConfigWasEditedIsNotReused) {
  succeed(command());
  const fs::path file = files_ / "both/topk/seed_1/config.json";
  nlohmann::json config = nlohmann::json::parse(read_text_file(file));
  config["optimizer"]["learning_rate"] = 0.5;
  write_text_file(file, config.dump(2));
  refuse(command({"--set", "optimizer.learning_rate=0.5"}),
         {"both/topk/seed_1/config.json: has optimizer.learning_rate = 0.5, but ", " was trained with "});
}

TEST_F(CompareData, OneComparisonWorksInAFolder) {
  succeed(command());
  fs::remove_all(files_ / "both/default");
  fs::create_directory(files_ / "both/default");
  fs::create_directory(files_ /
                       "both/default/seed_1.gptmoe-tmp-99999999-1");  // left by a kill during the removal of seed_1
  {
    const FolderLock other(files_ / "both", "");
    refuse(command(),
           {text("both: another process (", getpid(), ") is comparing runs in this folder; wait for it or")});
    EXPECT_FALSE(fs::exists(files_ / "both/default/seed_1"));
  }
  succeed(command());
  EXPECT_FALSE(fs::exists(files_ / "both/default/seed_1.gptmoe-tmp-99999999-1"));
  refuse({"compare", "topk.json", "default.json", "--out", "new", "--set", "data.train=none_*.bin"},
         {"no file matches"});
  EXPECT_FALSE(fs::exists(files_ / "new")) << "the command removes the folder that it made";
}

TEST_F(CompareData, ARunThatAnotherProcessTrainsStopsTheComparisonBeforeItsFirstFile) {
  fs::create_directories(files_ / "both/default/seed_1");
  const FolderLock other(files_ / "both/default/seed_1", "");
  refuse(command({"--jobs", "2"}), {text("both/default/seed_1: another process (", getpid(), ") is training in")});
  EXPECT_FALSE(fs::exists(files_ / "both/topk"));
  EXPECT_TRUE(fs::is_empty(files_ / "both/default/seed_1"));
  EXPECT_EQ(std::distance(fs::directory_iterator(files_ / "both/default"), {}), 1);
}

TEST_F(CompareData, FinishedRunsAreComparedWithoutTheirShards) {
  succeed(command());
  for (const char* shard : {"train_0.bin", "train_1.bin", "val_0.bin"}) fs::remove(files_ / shard);
  expect_contains(succeed(command()).out, "reusing     both/default/seed_1");
  fs::remove(files_ / "both/topk/seed_1/history.json");
  expect_contains(succeed(command()).out, "note        both/topk/seed_1: has no history.json");
}

TEST_F(CompareData, FinishedRunsOfTwoDataSetsAreNotComparedEvenWithoutTheirShards) {
  succeed(command());
  write_random_shard(files_ / "val_0.bin", 29, 80, 50);
  succeed({"compare", "topk.json", "default.json", "--out", "later"});
  fs::remove_all(files_ / "both/default");
  fs::rename(files_ / "later/default", files_ / "both/default");
  for (const char* shard : {"train_0.bin", "train_1.bin", "val_0.bin"}) fs::remove(files_ / shard);
  refuse(command(), {"default, seed 1: data.val ", "has other tokens than ", "of topk, seed 1"});
}

}  // namespace
}  // namespace gptmoe::testing
