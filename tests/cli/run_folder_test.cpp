// Runs whose folder or data change, vanish or move: each gives one line and never a wrong result.
#include "cli/cli_fixture.h"
#include "support/test_folders.h"

namespace gptmoe::testing {
namespace {

class RunFolderCli : public CommandLine {
 protected:
  // Starts a run that is long enough to be changed in the middle, and waits for its first checkpoint.
  void start(const nlohmann::json& changes = nlohmann::json::object()) {
    nlohmann::json all = {{"train", {{"steps", 100000}, {"eval_every", 0}}},
                          {"checkpoint", {{"every", 50}, {"keep", 2}}}};
    all.merge_patch(changes);
    write_config("run.json", all);
    process_.emplace(folder(), std::vector<std::string>{gptmoe_binary(), "train", "run.json", "--out", "run"});
    process_->wait_until([&] { return latest_checkpoint(files_ / "run").has_value(); });
  }
  // Trains with the golden tokenizer and relative paths.
  void train_with_tokenizer() {
    fs::copy(source_folder() + "/tests/tokenizer/golden/tokenizer.json", files_ / "words.json");
    write_config("run.json", {{"model", {{"vocab_size", 401}, {"max_position_embeddings", 24}}},
                              {"data", {{"train", "train_*.bin"}, {"val", "val_*.bin"}, {"tokenizer", "words.json"}}}});
    succeed({"train", "run.json", "--out", "run"});
  }

  std::optional<Process> process_;
};

TEST_F(RunFolderCli, ThatIsDeletedUnderTrainingIsAFailure) {
  start();
  fs::rename(files_ / "run", files_ / "doomed");  // in one step, as if deleted or unmounted
  fs::remove_all(files_ / "doomed");
  fail(process_->wait(), 1, {"run/"});  // the metrics or the checkpoint, whichever was being written
}

// The run's own files must not get the numbers of closed standard streams, or the lines for the screen would end up in
// them.
TEST_F(RunFolderCli, IsWholeAfterTrainingWithClosedStandardStreams) {
  write_config("run.json");
  Process process(folder(), {"/bin/sh", "-c", "'" + gptmoe_binary() + "' train run.json --out run <&- >&- 2>&-"});
  EXPECT_EQ(process.wait().exit_code, 1) << "the screen's lines cannot be written";
  succeed({"train", "run.json", "--out", "same"});
  const auto rows = [&](const std::string& run) {
    int64_t count = 0;
    std::istringstream file(read_text_file(files_ / run / "metrics.jsonl"));
    for (std::string line; std::getline(file, line); ++count) EXPECT_TRUE(nlohmann::json::parse(line).is_object());
    return count;
  };
  EXPECT_EQ(rows("run"), rows("same"));
}

TEST_F(RunFolderCli, ThatIsGoneBeforeTheFirstRowIsNoticedWhenTheRunStops) {
  write_config("run.json", {{"train", {{"steps", 100000}, {"eval_every", 0}}},
                            {"log", {{"every", 100000}}},
                            {"checkpoint", {{"every", 0}}}});
  Process process(folder(), {gptmoe_binary(), "train", "run.json", "--out", "run"});
  process.wait_until([&] {
    return fs::exists(files_ / "stdout") && read_text_file(files_ / "stdout").find("device      ") != std::string::npos;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  fs::remove_all(files_ / "run");
  process.kill(SIGTERM);
  fail(process.wait(), 1, {"run/metrics.jsonl: was removed, moved or replaced"});
}

TEST_F(RunFolderCli, MetricsThatAreGoneCostNoSteps) {
  write_config("run.json", {{"train", {{"steps", 100000}, {"eval_every", 0}}},
                            {"log", {{"every", 100000}}},
                            {"checkpoint", {{"every", 0}}}});
  Process process(folder(), {gptmoe_binary(), "train", "run.json", "--out", "run"});
  process.wait_until([&] {
    return fs::exists(files_ / "stdout") && read_text_file(files_ / "stdout").find("device      ") != std::string::npos;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  fs::remove(files_ / "run/metrics.jsonl");
  process.kill(SIGTERM);
  fail(process.wait(), 1, {"run/metrics.jsonl: was removed", "is saved: continue with "});
  EXPECT_TRUE(latest_checkpoint(files_ / "run"));
}

TEST_F(RunFolderCli, AShardThatIsCutUnderTrainingIsOneLine) {
  start();
  fs::resize_file(files_ / "train_0.bin", 1024 + 20);
  const std::string line =
      fail(process_->wait(), 2, {"train_0.bin: byte ", "the file ends here, but it had 1158 bytes"});
  EXPECT_TRUE(latest_checkpoint(files_ / "run")) << "the checkpoint is whole";
  fs::resize_file(files_ / "train_0.bin", 1024);
  refuse({"train", "run.json", "--out", "run", "--resume"}, {"train_0.bin: truncated"});
}

TEST_F(RunFolderCli, ServesItsCommandsFromAnywhere) {
  train_with_tokenizer();
  const std::string score = succeed({"eval", "run"}).out;
  const std::string text = succeed({"generate", "run", "--prompt", "In", "--tokens", "5"}).out;
  fs::create_directories(files_ / "other/place");
  fs::rename(files_ / "run", files_ / "other/moved");
  fs::remove(files_ / "words.json");
  const auto there = [&](const std::vector<std::string>& arguments) {
    const ProcessResult result = run_gptmoe(files_ / "other/place", arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  };
  for (const char* run : {"../moved", "../moved/checkpoints/step_00000012"}) {
    const std::string moved_score = there({"eval", run});
    EXPECT_EQ(moved_score.substr(moved_score.find(": loss"), 24), score.substr(score.find(": loss"), 24));
    EXPECT_EQ(there({"generate", run, "--prompt", "In", "--tokens", "5"}), text);
    expect_contains(there({"analyze", run, "--batches", "1"}), "measured    routing on ");
  }
  fs::remove(files_ / "other/moved/tokenizer.json");
  fail(run_gptmoe(files_ / "other/place", {"generate", "../moved", "--prompt", "In"}), 2,
       {"moved: holds no copy of its tokenizer, and there is none at words.json or "});
}

TEST_F(RunFolderCli, EvalScoresChangedShardsAnewAndSaysSo) {
  write_config("run.json", {{"data", {{"val", "val_*.bin"}}}});
  succeed({"train", "run.json", "--out", "run"});
  const std::string before = succeed({"eval", "run"}).out;
  EXPECT_EQ(succeed({"eval", "run"}).out, before);
  write_random_shard(files_ / "val_0.bin", 29, 80, 77);
  const std::string after = succeed({"eval", "run"}).out;
  expect_contains(after, "note: val_*.bin holds other tokens than when the run read it\n");
  EXPECT_NE(after.substr(after.find(": loss")), before.substr(before.find(": loss")));
}

TEST_F(RunFolderCli, ABranchOfADamagedCheckpointLeavesNoFolder) {
  write_config("run.json", {{"schedule", {{"type", "constant"}}}});
  succeed({"train", "run.json", "--out", "run"});
  const fs::path model = files_ / "run/checkpoints/step_00000008/model.safetensors";
  std::string bytes = read_text_file(model);
  bytes[bytes.size() / 2] ^= 1;
  write_text_file(model, bytes);
  const std::vector<std::string> branch = {"train", "run.json", "--branch", "run/checkpoints/step_00000008",
                                           "--out", "branch"};
  refuse(branch, {"model.safetensors: does not match its checksum"});
  EXPECT_FALSE(fs::exists(files_ / "branch"));
  bytes[bytes.size() / 2] ^= 1;
  write_text_file(model, bytes);
  fs::rename(files_ / "val_0.bin", files_ / "lost.bin");
  refuse(branch, {"val_*.bin: no file matches"});
  EXPECT_FALSE(fs::exists(files_ / "branch"));
  fs::rename(files_ / "lost.bin", files_ / "val_0.bin");
  succeed(branch);
}

}  // namespace
}  // namespace gptmoe::testing
