// Runs that are extended, changed midway or branched, and the changes that are refused.
#include <omp.h>

#include "base/lock.h"
#include "records/run_folder.h"
#include "support/run_fixture.h"
#include "train/run_directory.h"
#include "train/run_history.h"

namespace gptmoe::testing {
namespace {

using nlohmann::json;

// Makes a branch that is ready to be resumed.
class Lifecycle : public ::testing::Test {
 protected:
  void SetUp() override { omp_set_num_threads(1); }

  // Runs of `steps` steps with a constant learning rate.
  Config constant(int64_t steps, json changes = json::object()) const {
    json all = {{"train", {{"steps", steps}}}, {"schedule", {{"type", "constant"}}}};
    all.merge_patch(changes);
    return folder_.config(all);
  }
  // Runs that decay over their last `decay` steps.
  Config decaying(int64_t steps, int64_t decay) const {
    return folder_.config({{"train", {{"steps", steps}}}, {"schedule", {{"type", "wsd"}, {"decay_steps", decay}}}});
  }
  std::string refusal(const Config& config, const std::vector<std::string>& set = {}) const {
    const std::string config_before = read_text_file(run_ / "config.json"),
                      metrics_before = read_text_file(run_ / "metrics.jsonl");
    const std::string line = error_line<UserError>([&] { resume_with(config, run_, set); });
    EXPECT_EQ(read_text_file(run_ / "config.json"), config_before);
    EXPECT_EQ(read_text_file(run_ / "metrics.jsonl"), metrics_before);
    return line;
  }
  void edit_config(const std::string& pointer, const json& value) const {
    json config = json::parse(read_text_file(run_ / "config.json"));
    config[json::json_pointer(pointer)] = value;
    write_text_file(run_ / "config.json", config.dump(2));
  }

  RunFolder folder_;
  const fs::path run_ = folder_ / "run", whole_ = folder_ / "whole";
};

TEST_F(Lifecycle, AnExtendedRunEqualsALongerRun) {
  train_quietly(constant(12), whole_);
  train_quietly(constant(8), run_);
  EXPECT_EQ(resume_with(constant(12), run_, {"train.steps"}), 0);
  expect_same_run(whole_, run_);
  const RunHistory record = read_history(run_);
  ASSERT_EQ(record.history.size(), 2u);
  EXPECT_EQ(record.history[1].from_step, 8);
  ASSERT_EQ(record.history[1].changes.size(), 1u);
  EXPECT_EQ(record.history[1].changes[0].first, "train.steps");
  EXPECT_EQ(*record.history[1].changes[0].second.was, 8);
  EXPECT_EQ(*record.history[1].changes[0].second.is, 12);
}

TEST_F(Lifecycle, AChangeStaysInForceWhenTheOldConfigResumes) {
  train_quietly(constant(8), run_);
  resume_with(constant(12), run_, {"train.steps"});
  cut_back(run_, 8);  // as if it had been killed before it saved again
  EXPECT_EQ(resume_with(constant(8), run_, {}), 0);
  EXPECT_EQ(run_config(run_).train.steps, 12);
  EXPECT_EQ(latest_checkpoint(run_)->filename(), "step_00000012");
}

TEST_F(Lifecycle, OnlyTheSetOptionChangesARun) {
  train_quietly(constant(8), run_);
  expect_contains(refusal(constant(12)),
                  "train.steps = 8, now it is 12; to change it for the rest of the run, add --set "
                  "train.steps=12");
  expect_contains(refusal(constant(8, {{"optimizer", {{"learning_rate", 0.5}}}})), "--set optimizer.learning_rate=0.5");
  const json another = {{"seed", 7}};
  expect_contains(refusal(constant(8, another), {"seed"}), "seed = 1, now it is 7; resume with the original value");
  expect_contains(refusal(constant(8, {{"router", {{"type", "default"}}}}), {"router"}),
                  "start a new run with another --out");
  expect_contains(refusal(constant(8, {{"model", {{"hidden_act", "gelu"}}}}), {"model.hidden_act"}),
                  "model.hidden_act = \"silu\"");
}

TEST_F(Lifecycle, AcceptsEveryPermittedChange) {
  train_quietly(constant(8, {{"train", {{"global_batch_size", 4}, {"micro_batch_size", 2}}}}), run_);
  const Config changed = constant(12, {{"train", {{"global_batch_size", 4}, {"micro_batch_size", 4}}},
                                       {"optimizer", {{"learning_rate", 0.002}}},
                                       {"schedule", {{"warmup_steps", 1}}}});
  EXPECT_EQ(resume_with(changed, run_, {"train", "optimizer.learning_rate", "schedule.warmup_steps"}), 0);
  EXPECT_EQ(run_config(run_), changed);
  EXPECT_DOUBLE_EQ(metrics_of(run_).back()["step"], 12);
}

TEST_F(Lifecycle, StepsCannotGoBelowTheCheckpoint) {
  train_quietly(constant(8), run_);
  expect_contains(refusal(constant(4), {"train.steps"}), "train.steps = 4, but the run has done 8 steps");
}

TEST_F(Lifecycle, OtherKernelsMayContinueARun) {
  train_quietly(constant(8), run_);
  EXPECT_EQ(resume_with(constant(12, {{"kernels", {{"hopper", "off"}}}}), run_, {"train.steps"}), 0);
  EXPECT_EQ(run_config(run_).kernels.hopper, "off");
}

TEST_F(Lifecycle, AnEditedConfigFileIsRefused) {
  train_quietly(constant(8), run_);
  edit_config("/train/steps", 12);
  const std::string edited = refusal(constant(12));
  expect_contains(edited, "config.json: has train.steps = 12, but ");
  expect_contains(edited, "step_00000008 was trained with 8: the file was edited");
  expect_contains(edited, "change the run with --set train.steps=...");
  edit_config("/train/steps", 8);
  edit_config("/model/rope_theta", 500.0);
  expect_contains(refusal(constant(8)), "config.json: has model.rope_theta = 500.0");
}

TEST_F(Lifecycle, OtherTokensAtTheSamePathAreRefused) {
  train_quietly(constant(8), run_);
  const std::string intact = read_text_file(folder_ / "train_1.bin");
  std::string flipped = intact;
  flipped[1024 + 30] ^= 1;  // the same number of tokens
  write_text_file(folder_ / "train_1.bin", flipped);
  expect_contains(refusal(constant(12), {"train.steps"}), "train_1.bin: has other tokens than when the run read it");
  write_text_file(folder_ / "train_1.bin", intact);
  write_random_shard(folder_ / "train_2.bin", 29, 20, 9);
  expect_contains(refusal(constant(12), {"train.steps"}), "train_2.bin: is new since the run began");
  fs::remove(folder_ / "train_2.bin");
  fs::rename(folder_ / "val_0.bin", folder_ / "val_1.bin");
  expect_contains(refusal(constant(12), {"train.steps"}),
                  "val_0.bin: the run read this file and it is no longer there");
}

TEST_F(Lifecycle, TheSameTokensAtAnotherPathContinueWhereTheyWere) {
  train_quietly(constant(12), whole_);
  train_quietly(constant(12), run_);
  cut_back(run_, 8);
  fs::create_directory(folder_ / "moved");
  for (const char* file : {"train_0.bin", "train_1.bin"}) fs::rename(folder_ / file, folder_ / "moved" / file);
  const Config moved = constant(12, {{"data", {{"train", folder_ / "moved/train_*.bin"}}}});
  expect_contains(refusal(moved), "--set data.train=");
  EXPECT_EQ(resume_with(moved, run_, {"data.train"}), 0);
  expect_same_run(whole_, run_);
}

TEST_F(Lifecycle, NewDataIsReadFromItsBeginning) {
  train_quietly(constant(8), run_);
  write_random_shard(folder_ / "more_0.bin", 29, 300, 5);
  const Config more = constant(12, {{"data", {{"train", folder_ / "more_*.bin"}}}});
  EXPECT_EQ(resume_with(more, run_, {"data.train", "train.steps"}), 0);
  const CheckpointState state = read_checkpoint_state(*latest_checkpoint(run_));
  EXPECT_EQ(state.loader.epoch, 0);
  EXPECT_EQ(state.loader.position, 4 * more.train.global_batch_size) << "of the four new steps";
}

TEST_F(Lifecycle, NewDataIsReadAgainAfterACrashBeforeTheNextCheckpoint) {
  write_random_shard(folder_ / "more_0.bin", 29, 300, 5);
  const Config more = constant(12, {{"data", {{"train", folder_ / "more_*.bin"}}}});
  train_quietly(constant(8), run_);
  resume_with(more, run_, {"data.train", "train.steps"});
  copy_folder(run_, whole_);
  cut_back(run_, 8);
  EXPECT_EQ(resume_with(more, run_, {}), 0);
  expect_same_run(whole_, run_);
}

TEST_F(Lifecycle, GoingBackPastAChangeOfDataReadsTheNewDataFromItsBeginning) {
  write_random_shard(folder_ / "more_0.bin", 29, 300, 5);
  const Config more = constant(12, {{"data", {{"train", folder_ / "more_*.bin"}}}});
  train_quietly(constant(8), run_);
  resume_with(more, run_, {"data.train", "train.steps"});
  cut_back(run_, 4);
  EXPECT_EQ(resume_with(more, run_, {}), 0);
  EXPECT_EQ(read_checkpoint_state(*latest_checkpoint(run_)).loader.position, 8 * more.train.global_batch_size);
  EXPECT_EQ(read_history(run_).history.back().from_step, 4);
}

TEST_F(Lifecycle, AChangeThatIsRevertedLeavesNoRecord) {
  train_quietly(constant(8), run_);
  resume_with(constant(12), run_, {"train.steps"});
  cut_back(run_, 8);
  EXPECT_EQ(resume_with(constant(8), run_, {"train.steps"}), 0);
  EXPECT_EQ(read_history(run_).history.size(), 1u);
}

TEST_F(Lifecycle, ARunWithoutAHistoryCanBeBranched) {
  train_quietly(decaying(12, 4), run_);
  fs::remove(run_ / "history.json");
  start_branch(run_ / "checkpoints/step_00000008", whole_, decaying(10, 2));
  EXPECT_EQ(resume_with(decaying(10, 2), whole_, {}), 0);
}

TEST_F(Lifecycle, AHistoryThatCannotBeReadIsNotAMissingOne) {
  train_quietly(constant(8), run_);
  fs::remove(run_ / "history.json");
  for (const char* target : {"history.json", "nowhere"}) {  // a loop, and a link to nothing
    fs::create_symlink(target, run_ / "history.json");
    const std::string why = "history.json: cannot access it: ";
    expect_contains(error_line<UserError>([&] { read_history(run_); }), why);
    expect_contains(refusal(constant(12), {"train.steps"}), why);
    expect_contains(error_line<UserError>([&] { start_branch(run_, folder_ / "branch", constant(12)); }), why);
    EXPECT_FALSE(fs::exists(folder_ / "branch"));
    fs::remove(run_ / "history.json");
  }
}

TEST_F(Lifecycle, AFolderThatCannotBeLookedIntoIsNotWithoutARun) {
  fs::create_symlink("loop", folder_ / "loop");
  const std::string why = (folder_ / "loop").string() + ": cannot access it: Too many levels";
  expect_contains(error_line<UserError>([&] { holds_run(folder_ / "loop"); }), why);
  expect_contains(error_line<UserError>([&] {
                    UnstartedRun run(folder_ / "loop");
                    start_run_directory(run, constant(8), {});
                  }),
                  why);
  fs::create_directory(run_);
  fs::create_symlink("nowhere", run_ / "config.json");
  expect_contains(error_line<UserError>([&] { train_quietly(constant(8), run_); }),
                  "config.json: cannot access it: it is a link to nowhere, which does not exist");
  EXPECT_TRUE(fs::is_symlink(run_ / "config.json"));
}

TEST_F(Lifecycle, ABranchEqualsAnUninterruptedRun) {
  train_quietly(decaying(12, 4), run_);
  const std::string parent = read_text_file(run_ / "metrics.jsonl");
  train_quietly(decaying(10, 2), whole_);  // the first eight steps are the same
  const fs::path branch = folder_ / "branch";
  start_branch(run_ / "checkpoints/step_00000008", branch, decaying(10, 2));
  EXPECT_EQ(resume_with(decaying(10, 2), branch, {}), 0);
  expect_same_run(whole_, branch);
  EXPECT_EQ(read_text_file(run_ / "metrics.jsonl"), parent);
  const HistoryEntry entry = read_history(branch).history.back();
  EXPECT_EQ(entry.from_step, 8);
  ASSERT_TRUE(entry.branched_from);
  expect_contains(*entry.branched_from, "run/checkpoints/step_00000008");
  EXPECT_EQ(entry.changes.size(), 2u);
}

// Damage that shows only when the branch is opened: in the other run's metrics or provenance, or a checkpoint without
// the optimizer's file.
TEST_F(Lifecycle, ABranchThatFailsBeforeItsFirstStepLeavesNothing) {
  const fs::path parent = folder_ / "run", branch = folder_ / "branch";
  train_quietly(constant(8), parent);
  const auto expect_nothing = [&](const std::string& why) {
    const TrainOptions options{.out = branch, .branch = parent, .matrix_rate = kMatrixRate};
    ::testing::internal::CaptureStdout();
    const std::string line = error_line<UserError>([&] { train(constant(12), options, *make_single_world()); });
    ::testing::internal::GetCapturedStdout();
    expect_contains(line, why);
  };
  for (const char* file : {"metrics.jsonl", "provenance.json"}) {
    const std::string intact = read_text_file(parent / file);
    write_text_file(parent / file, "no JSON\n");
    expect_nothing((parent / file).string() + ":");
    EXPECT_FALSE(fs::exists(branch));
    write_text_file(parent / file, intact);
  }
  fs::create_directory(branch);
  write_text_file(branch / "notes.txt", "mine");
  fs::remove(parent / "history.json");
  fs::create_directory(parent / "history.json");
  expect_nothing("history.json: not a regular file");
  EXPECT_EQ(read_text_file(branch / "notes.txt"), "mine");
  EXPECT_EQ(std::distance(fs::directory_iterator(branch), {}), 1);
}

// The process that holds the lock may be about to write its config.
TEST_F(Lifecycle, ARunDoesNotStartInALockedFolder) {
  train_quietly(constant(8), whole_);
  fs::create_directory(run_);
  const FolderLock lock(run_, "");
  const std::string why = text("run: another process (", getpid(), ") is training in this run directory");
  expect_contains(error_line<UserError>([&] { train_quietly(constant(8), run_); }), why);
  expect_contains(error_line<UserError>([&] { start_branch(whole_, run_, constant(12)); }), why);
  EXPECT_TRUE(fs::is_empty(run_));
}

TEST_F(Lifecycle, ANewRunHoldsItsFolderFromItsFirstFileOn) {
  UnstartedRun first(run_);
  start_run_directory(first, constant(8), {});
  EXPECT_TRUE(folder_locked(run_));
  const std::unique_ptr<FolderLock> lock = first.begin();
  EXPECT_TRUE(folder_locked(run_));
}

TEST_F(Lifecycle, ANewRunThatFailsBeforeItsFirstStepLeavesNothing) {
  fs::create_directory(folder_ / "runs");
  {
    UnstartedRun failed(folder_ / "runs/of/today/run");
    start_run_directory(failed, constant(8), {});
  }
  EXPECT_TRUE(fs::is_empty(folder_ / "runs"));
  fs::create_directory(run_);
  write_text_file(run_ / "provenance.json", "[]");
  expect_contains(error_line<UserError>([&] { train_quietly(constant(8), run_); }), "provenance.json");
  EXPECT_EQ(read_text_file(run_ / "provenance.json"), "[]");
  EXPECT_EQ(std::distance(fs::directory_iterator(run_), {}), 1);
}

// No new run may start in what is left of a run: it would cut back the rows, and the old history would pass for its
// own.
TEST_F(Lifecycle, ARunWithoutItsConfigIsNotReplaced) {
  train_quietly(constant(8), whole_);
  for (const char* part : {"metrics.jsonl", "history.json", "checkpoints"}) {
    fs::remove_all(run_);
    fs::create_directory(run_);
    fs::copy(whole_ / part, run_ / part, fs::copy_options::recursive);
    const std::string why = text("run: holds a run's ", part, " but no config.json; restore config.json to continue");
    expect_contains(error_line<UserError>([&] { train_quietly(constant(8), run_); }), why);
    expect_contains(error_line<UserError>([&] { resume_with(constant(8), run_, {}); }), why);
    expect_contains(error_line<UserError>([&] { start_branch(whole_, run_, constant(12)); }), why);
    EXPECT_EQ(std::distance(fs::directory_iterator(run_), {}), 1);
  }
}

TEST_F(Lifecycle, ACheckpointWithoutItsOptimizerIsNotBranched) {
  train_quietly(constant(8), run_);
  fs::remove(run_ / "checkpoints/step_00000008/optimizer.safetensors");
  expect_contains(
      error_line<UserError>([&] { start_branch(run_, folder_ / "branch", constant(12)); }),
      "run: holds no optimizer.safetensors, like an imported model; start from its weights alone with --init");
  EXPECT_FALSE(fs::exists(folder_ / "branch"));
}

TEST_F(Lifecycle, AMovedRunNamesTheFolderOfItsShards) {
  struct Restore {
    const fs::path folder = fs::current_path();
    ~Restore() { fs::current_path(folder); }
  } restore;
  for (const char* key : {"train", "val"}) {
    const json relative = {{"data", {{key, std::string(key) + "_*.bin"}}}};
    fs::remove_all(run_);
    fs::current_path(folder_ / "");
    train_quietly(constant(8, relative), run_);
    fs::create_directories(folder_ / "aside");
    fs::current_path(folder_ / "aside");
    const std::string line = refusal(constant(12, relative), {"train.steps"});
    expect_contains(line, text("data.", key, ": ", key, "_*.bin: no file matches here, but some do in "));
    expect_contains(line, text("add --set data.", key, "="));
  }
}

TEST_F(Lifecycle, ARunDoesNotReplaceTheConfigOfACheckpointOrAModel) {
  train_quietly(constant(8), run_);
  fs::create_directory(folder_ / "exported");
  write_text_file(folder_ / "exported/config.json", R"({"model_type": "olmoe"})");
  for (const fs::path& folder : {run_ / "checkpoints/step_00000008", folder_ / "exported"}) {
    const std::string before = read_text_file(folder / "config.json");
    expect_contains(error_line<UserError>([&] { train_quietly(constant(8), folder); }),
                    (folder / "config.json").string() + ": does not belong to a run; choose another --out");
    EXPECT_EQ(read_text_file(folder / "config.json"), before);
  }
}

TEST_F(Lifecycle, ABranchKeepsTheSettingsThatCannotChange) {
  train_quietly(decaying(12, 4), run_);
  const auto refused = [&](const Config& config) {
    const std::string line = error_line<UserError>([&] { start_branch(run_, folder_ / "branch", config); });
    EXPECT_FALSE(fs::exists(folder_ / "branch"));
    return line;
  };
  Config config = decaying(20, 4);
  config.seed = 5;
  expect_contains(refused(config), "was trained with seed = 1, now it is 5");
  expect_contains(refused(decaying(12, 2)), "has done 12 steps, and train.steps is 12; give more steps");
}

}  // namespace
}  // namespace gptmoe::testing
