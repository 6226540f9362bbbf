// Runs ended by signals, SIGKILL or a full disk: no checkpoint is lost, and a resumed run equals an uninterrupted one.
#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

// Long enough to be interrupted in the middle: a step takes about half a millisecond.
constexpr int64_t kSteps = 1200;

class Interruption : public CommandLine {
 protected:
  void SetUp() override {
    write_config("run.json", {{"train", {{"steps", kSteps}, {"eval_every", 100}}},
                              {"router", {{"type", "default"}}},
                              {"checkpoint", {{"every", 150}, {"keep", 2}}}});
    succeed({"train", "run.json", "--out", "whole"});
  }

  std::vector<std::string> train_command(bool resume) const {
    std::vector<std::string> command = {gptmoe_binary(), "train", "run.json", "--out", "run"};
    if (resume) command.insert(command.end(), {"--resume", "--restart"});  // the run may not have saved yet
    return command;
  }
  int64_t metrics_bytes() const {
    std::error_code none;
    const auto bytes = fs::file_size(files_ / "run/metrics.jsonl", none);
    return none ? 0 : static_cast<int64_t>(bytes);
  }

  // Interrupts a new run with `signal`, then runs the command that it prints.
  void interrupt_and_resume(int signal) {
    Process process(folder(), train_command(false));
    process.wait_until([&] { return metrics_bytes() > 20000; });
    process.kill(signal);
    const ProcessResult result = process.wait();
    EXPECT_EQ(result.exit_code, 128 + signal) << result.signal;
    EXPECT_EQ(result.err, "");
    const std::string remedy = "saved. To continue:\n  ";
    const size_t at = result.out.find(remedy);
    ASSERT_NE(at, std::string::npos) << result.out;
    EXPECT_EQ(result.out.find("\r"), std::string::npos);
    ASSERT_LT(latest_checkpoint(files_ / "run")->filename().string(), "step_00001200");

    const ProcessResult resumed = run(folder(), {"/bin/sh", "-c", result.out.substr(at + remedy.size())});
    EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
    expect_contains(resumed.out, "resumed at step");
    expect_same_run(files_ / "whole", files_ / "run");
  }
};

TEST_F(Interruption, ByTheKeyboard) { interrupt_and_resume(SIGINT); }

TEST_F(Interruption, ByATerminationRequest) { interrupt_and_resume(SIGTERM); }

TEST_F(Interruption, ByAClosingTerminal) { interrupt_and_resume(SIGHUP); }

TEST_F(Interruption, ByATimeLimitOfTheBatchSystem) { interrupt_and_resume(SIGUSR1); }

TEST_F(Interruption, ASecondTrainerIsRefused) {
  Process process(folder(), train_command(false));
  process.wait_until([&] { return metrics_bytes() > 2000; });
  process.kill(SIGSTOP);
  fs::create_directory(files_ / "elsewhere");
  const ProcessResult second =
      run_gptmoe(files_ / "elsewhere", {"train", "../run.json", "--out", "../run", "--resume"});
  process.kill(SIGCONT);
  fail(second, 2, {"run: another process (", ") is training in this run directory"});
  EXPECT_EQ(process.wait().exit_code, 0);
  expect_same_run(files_ / "whole", files_ / "run");
}

TEST_F(Interruption, ByAKillAtAnyMoment) {
  const Rng rng(2024, 0);
  bool started = false;
  for (uint64_t kill = 0; kill < 6; ++kill) {
    Process process(folder(), train_command(started));
    const int64_t before = metrics_bytes();
    const auto grown = static_cast<int64_t>(rng.below(2 * kill, 200000));
    process.wait_until([&] { return metrics_bytes() != before && metrics_bytes() > grown; });
    std::this_thread::sleep_for(std::chrono::microseconds(rng.below(2 * kill + 1, 3000)));
    process.kill(SIGKILL);
    process.wait();
    started = started || fs::exists(files_ / "run/config.json");
  }
  succeed({"train", "run.json", "--out", "run", "--resume", "--restart"});
  expect_same_run(files_ / "whole", files_ / "run");
}

// Without a checkpoint, a resume would silently repeat every step that the metrics show.
TEST_F(Interruption, ResumingWithoutACheckpointNeedsRestart) {
  Process process(folder(), {gptmoe_binary(), "train", "run.json", "--out", "run", "--set", "checkpoint.every=0"});
  process.wait_until([&] { return metrics_bytes() > 2000; });
  process.kill(SIGKILL);
  process.wait();
  const std::string metrics = read_text_file(files_ / "run/metrics.jsonl");
  refuse({"train", "run.json", "--out", "run", "--resume"},
         {"run: metrics.jsonl has ", "no checkpoint to resume from; add --restart"});
  EXPECT_EQ(read_text_file(files_ / "run/metrics.jsonl"), metrics);
  succeed({"train", "run.json", "--out", "run", "--resume", "--restart"});
  expect_same_run(files_ / "whole", files_ / "run");
}

TEST_F(Interruption, ByAKillCostsNoMoreThanTheMinutesBetweenCheckpoints) {
  Process process(folder(), {gptmoe_binary(), "train", "run.json", "--out", "run", "--set", "checkpoint.every=0",
                             "--set", "checkpoint.minutes=1e-4"});
  process.wait_until([&] { return latest_checkpoint(files_ / "run").has_value(); });
  process.kill(SIGKILL);
  process.wait();
  expect_contains(succeed({"train", "run.json", "--out", "run", "--resume"}).out, "resumed at step");
  expect_same_run(files_ / "whole", files_ / "run");
}

// "gptmoe ... | head": the reader of the output ends first. gptmoe still completes its work.
TEST_F(CommandLine, AClosedPipeDoesNotEndTheWork) {
  write_config("a.json");
  write_config("b.json", {{"router", {{"type", "default"}}}});
  const auto run_into_closed_pipe = [&](const std::string& words) {
    const std::string command = "'" + gptmoe_binary() + "' " + words;
    fs::remove(files_ / "code");
    const std::string wait = "; while [ ! -s code ]; do sleep 0.01; done";
    const ProcessResult result = run(folder(), {"/bin/sh", "-c", "(" + command + "; echo $? > code) | true" + wait});
    EXPECT_EQ(result.err, "gptmoe: standard output: cannot write: Broken pipe\n");
    EXPECT_EQ(read_text_file(files_ / "code"), "1\n");
  };
  run_into_closed_pipe("train a.json --out run");
  EXPECT_TRUE(fs::exists(files_ / "run/checkpoints/step_00000012"));
  run_into_closed_pipe("compare a.json b.json --out both");
  for (const char* name : {"both/a/seed_1", "both/b/seed_1"})
    EXPECT_TRUE(fs::exists(files_ / name / "checkpoints/step_00000012")) << name;
  EXPECT_TRUE(fs::exists(files_ / "both/report.html"));
}

class FullDisk : public CommandLine {};

TEST_F(FullDisk, DuringACheckpointLosesOnlyThatCheckpoint) {
  write_config("short.json", {{"checkpoint", {{"every", 4}}}});
  succeed({"train", "short.json", "--out", "whole"});
  copy_folder(files_ / "whole", files_ / "full");
  cut_back(files_ / "full", 4);

  const ProcessOptions full_disk{.largest_file = 16384};
  const std::string line = fail(gptmoe({"train", "short.json", "--out", "full", "--resume"}, full_disk), 1,
                                {"step_00000008", "File too large", "step 8 is not saved",
                                 "the previous checkpoint stays: full/checkpoints/step_00000004"});
  EXPECT_EQ(latest_checkpoint(files_ / "full")->filename(), "step_00000004");
  succeed({"train", "short.json", "--out", "full", "--resume"});
  expect_same_run(files_ / "whole", files_ / "full");
}

TEST_F(FullDisk, BeforeTheFirstStepLeavesNothingInTheWay) {
  fs::copy(source_folder() + "/tests/tokenizer/golden/tokenizer.json", files_ / "words.json");
  write_config("run.json", {{"data", {{"tokenizer", "words.json"}}}});
  const std::vector<std::string> train = {"train", "run.json", "--out", "run"};
  fail(gptmoe(train, {.largest_file = 4096}), 1, {"run/tokenizer.json", "File too large"});
  EXPECT_FALSE(fs::exists(files_ / "run"));
}

TEST_F(FullDisk, DuringABranchNamesTheFileAndLeavesNothing) {
  write_config("run.json", {{"checkpoint", {{"every", 4}}}});
  succeed({"train", "run.json", "--out", "run"});
  fail(gptmoe({"train", "run.json", "--branch", "run/checkpoints/step_00000004", "--out", "branch"},
              {.largest_file = 16384}),
       1, {"branch/checkpoints/step_00000004.tmp/", ".safetensors: cannot write: File too large"});
  EXPECT_FALSE(fs::exists(files_ / "branch"));
}

TEST_F(FullDisk, OfTheScreenFails) {
  for (const char* arguments : {"--help", "train --help", "--version"}) {
    Process process(folder(), {"/bin/sh", "-c", "'" + gptmoe_binary() + "' " + arguments + " > /dev/full"});
    fail(process.wait(), 1, {"standard output: cannot write: "});
  }
}

TEST_F(FullDisk, WithinARowOfTheMetrics) {
  write_config("run.json", {{"train", {{"steps", 60}}}, {"checkpoint", {{"every", 0}}}});
  succeed({"train", "run.json", "--out", "whole"});
  fail(gptmoe({"train", "run.json", "--out", "full"}, {.largest_file = 4096}), 1,
       {"full/metrics.jsonl: cannot append: File too large"});
  EXPECT_EQ(fs::file_size(files_ / "full/metrics.jsonl"), 4096u) << "cut within a row";
  succeed({"train", "run.json", "--out", "full", "--resume", "--restart"});
  expect_same_run(files_ / "whole", files_ / "full");
}

}  // namespace
}  // namespace gptmoe::testing
