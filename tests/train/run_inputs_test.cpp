// The tokenizer and the shards of a run: what its folder keeps of them, and where they are looked for.
#include "train/run_inputs.h"

#include <omp.h>

#include "support/run_fixture.h"
#include "support/test_folders.h"
#include "train/run_directory.h"
#include "train/run_history.h"

namespace gptmoe::testing {
namespace {

// While this object exists, the process is in another folder.
class CurrentFolder {
 public:
  explicit CurrentFolder(const fs::path& folder) : before_(fs::current_path()) { fs::current_path(folder); }
  ~CurrentFolder() { fs::current_path(before_); }
  CurrentFolder(const CurrentFolder&) = delete;
  CurrentFolder& operator=(const CurrentFolder&) = delete;

 private:
  fs::path before_;
};

class RunInputs : public ::testing::Test {
 protected:
  void SetUp() override {
    omp_set_num_threads(1);
    fs::copy(source_folder() + "/tests/tokenizer/golden/tokenizer.json", folder_ / "words.json");
  }
  // Trains in the test's folder, with relative paths.
  Config config(const std::string& tokenizer = "words.json", int64_t steps = 8) const {
    return folder_.config({{"data", {{"train", "train_*.bin"}, {"val", "val_*.bin"}, {"tokenizer", tokenizer}}},
                           {"train", {{"steps", steps}}},
                           {"schedule", {{"type", "constant"}}}});
  }
  std::string train_run(const Config& config) const {
    std::string screen;
    train_quietly(config, run_, false, &screen);
    return screen;
  }
  std::string refusal_at_resume(const Config& config) const {
    const std::string metrics = read_text_file(run_ / "metrics.jsonl");
    const std::string line = error_line<UserError>([&] { resume_with(config, run_, {"train.steps"}); });
    EXPECT_EQ(read_text_file(run_ / "metrics.jsonl"), metrics);
    return line;
  }
  fs::path checkpoint(const fs::path& run) const { return run / "checkpoints/step_00000008"; }

  RunFolder folder_;
  const CurrentFolder here_{folder_ / ""};
  const fs::path run_ = folder_ / "run";
};

TEST_F(RunInputs, ARunKeepsItsTokenizerInEveryLayout) {
  train_run(config());
  EXPECT_EQ(read_text_file(run_ / "tokenizer.json"), read_text_file("words.json"));
  fs::remove_all(run_);

  fs::create_directory("pair");
  for (const char* file : {"vocab.json", "merges.txt", "tokenizer_config.json"})
    write_text_file(fs::path("pair") / file, file);
  for (const char* named : {"pair", "pair/vocab.json", "pair/merges.txt"}) {
    train_run(config(named));
    for (const char* file : {"vocab.json", "merges.txt", "tokenizer_config.json"})
      EXPECT_EQ(read_text_file(run_ / file), file);
    EXPECT_EQ(find_tokenizer(checkpoint(run_), config(named)), run_ / "vocab.json");
    fs::remove_all(run_);
  }
  write_text_file("o200k.tiktoken", "ranks");
  train_run(config("o200k.tiktoken"));
  EXPECT_EQ(read_text_file(run_ / "o200k.tiktoken"), "ranks");
}

TEST_F(RunInputs, AMissingTokenizerIsReportedAndOneOfNoKindRefused) {
  expect_contains(train_run(config("nowhere.json")), "data.tokenizer: nowhere.json is not there");
  fs::remove_all(run_);
  write_text_file("words.txt", "x");
  expect_contains(error_line<UserError>([&] { train_run(config("words.txt")); }), "words.txt: unknown kind of file");
  EXPECT_FALSE(fs::exists(run_)) << "before the folder is made";
}

TEST_F(RunInputs, AResumeKeepsTheTokenizer) {
  train_run(config());
  const std::string intact = read_text_file("words.json");
  write_text_file("words.json", intact + "\n");
  const std::string line = refusal_at_resume(config("words.json", 12));
  expect_contains(line, "words.json: differs from ");
  expect_contains(line,
                  "run/tokenizer.json, the tokenizer with which the run began; restore it, or correct data.tokenizer");
  fs::create_directory("pair");
  for (const char* file : {"vocab.json", "merges.txt"}) write_text_file(fs::path("pair") / file, file);
  expect_contains(refusal_at_resume(config("pair", 12)), "pair: differs from ");
  EXPECT_FALSE(fs::exists(run_ / "vocab.json"));

  fs::remove("words.json");  // the copy is enough
  EXPECT_EQ(resume_with(config("words.json", 12), run_, {"train.steps"}), 0);
  EXPECT_EQ(read_text_file(run_ / "tokenizer.json"), intact);
}

TEST_F(RunInputs, ATokenizerOfAnotherNameOrLayoutIsRefused) {
  const std::string ranks = source_folder() + "/tests/tokenizer/golden/ranks.tiktoken";
  for (const char* name : {"x.tiktoken", "y.tiktoken"}) fs::copy(ranks, folder_ / name);
  train_run(config("x.tiktoken"));
  for (const char* other : {"y.tiktoken", "words.json"})
    expect_contains(refusal_at_resume(config(other, 12)), std::string(other) + ": differs from ");
  EXPECT_FALSE(fs::exists(run_ / "y.tiktoken") || fs::exists(run_ / "tokenizer.json"));
}

TEST_F(RunInputs, ARefusedRunLeavesNoConfig) {
  fs::create_directory(run_);
  write_text_file(run_ / "tokenizer.json", "{}");
  for (int attempt = 0; attempt < 2; ++attempt)
    expect_contains(error_line<UserError>([&] { train_quietly(config(), run_); }),
                    "the tokenizer with which the run began");
  EXPECT_FALSE(fs::exists(run_ / "config.json"));
}

TEST_F(RunInputs, ACopyThatIsALinkToNothingIsNotReplaced) {
  train_run(config("words.json", 8));
  fs::rename(run_ / "tokenizer.json", "moved.json");
  fs::create_symlink("nowhere", run_ / "tokenizer.json");
  TokenizerCopy copy = read_tokenizer_files("words.json");
  EXPECT_THROW(keep_tokenizer(run_, copy), UserError);
  copy.files[0].first = "other.json";  // not a tokenizer's name, so no check finds the link before it is written to
  fs::remove(run_ / "tokenizer.json");
  fs::create_symlink("nowhere", run_ / "other.json");
  EXPECT_THROW(keep_tokenizer(run_, copy), UserError);
  EXPECT_TRUE(fs::is_symlink(run_ / "other.json"));
}

TEST_F(RunInputs, ABranchKeepsTheTokenizer) {
  train_run(config());
  fs::remove("words.json");
  UnstartedRun branch(folder_ / "branch");
  branch_run(run_, branch, config("words.json", 12));
  branch.begin();
  EXPECT_EQ(resume_with(config("words.json", 12), folder_ / "branch", {}), 0);
  EXPECT_EQ(read_text_file(folder_ / "branch/tokenizer.json"), read_text_file(run_ / "tokenizer.json"));
}

TEST_F(RunInputs, AreFoundFromAnyFolderAndAfterAMove) {
  train_run(config());
  fs::rename("words.json", "lost.json");
  fs::create_directories("elsewhere/deep");
  const fs::path moved = folder_ / "elsewhere/moved";
  fs::rename(run_, moved);
  const CurrentFolder there(folder_ / "elsewhere/deep");
  for (const fs::path& given : {checkpoint(moved), checkpoint("../moved")}) {
    EXPECT_TRUE(fs::equivalent(find_tokenizer(given, config()), moved / "tokenizer.json"));
    const FoundShards found = find_validation_shards(given, config());
    EXPECT_EQ(found.sources[0].path, folder_ / "val_*.bin");
    EXPECT_EQ(found.note, "");
  }
}

TEST_F(RunInputs, OlderRunsUseTheNamedTokenizerFromAnywhere) {
  train_run(config());
  fs::remove(run_ / "tokenizer.json");
  EXPECT_EQ(find_tokenizer(checkpoint(run_), config()), "words.json");
  fs::create_directory("elsewhere");
  const CurrentFolder there(folder_ / "elsewhere");
  EXPECT_EQ(find_tokenizer(checkpoint(run_), config()), folder_ / "words.json");
  fs::remove(folder_ / "words.json");
  const std::string line = error_line<UserError>([&] { find_tokenizer(checkpoint(run_), config()); });
  expect_contains(line, "run: holds no copy of its tokenizer, and there is none at words.json or ");
  expect_contains(line, (folder_ / "words.json").string() + "; pass --tokenizer FILE");
}

TEST_F(RunInputs, ShardsOfTheSameNameInAnotherFolderAreNotTakenForTheRuns) {
  train_run(config());
  fs::create_directory("elsewhere");
  write_random_shard(folder_ / "elsewhere/val_0.bin", 29, 80, 99);
  const CurrentFolder there(folder_ / "elsewhere");
  EXPECT_EQ(find_validation_shards(checkpoint(run_), config()).sources[0].path, folder_ / "val_*.bin");
  write_random_shard(folder_ / "val_0.bin", 29, 80, 98);
  const FoundShards changed = find_validation_shards(checkpoint(run_), config());
  EXPECT_EQ(changed.sources[0].path, "val_*.bin");
  EXPECT_EQ(changed.note, "val_*.bin holds other tokens than when the run read it");
  fs::remove("val_0.bin");
  fs::remove(folder_ / "val_0.bin");
  expect_contains(error_line<UserError>([&] { find_validation_shards(checkpoint(run_), config()); }),
                  "val_*.bin or " + (folder_ / "val_*.bin").string() + ": no file matches");
}

TEST_F(RunInputs, ACheckpointAloneUsesWhatItsConfigNames) {
  train_run(config());
  fs::create_directory("alone");
  copy_folder(checkpoint(run_), folder_ / "alone/step");
  EXPECT_EQ(find_tokenizer("alone/step", config()), "words.json");
  EXPECT_EQ(find_validation_shards("alone/step", config()).sources[0].path, "val_*.bin");
  fs::copy(run_ / "tokenizer.json", "alone/step/tokenizer.json");
  EXPECT_EQ(find_tokenizer("alone/step", config()), "alone/step/tokenizer.json");
}

TEST_F(RunInputs, TheRecordFollowsTheFolderOfTheLastResume) {
  train_run(config());
  EXPECT_EQ(read_history(run_).history.back().folder, fs::current_path().string());
  fs::create_directory("elsewhere");
  for (const char* shard : {"train_0.bin", "train_1.bin", "val_0.bin"})
    fs::rename(shard, fs::path("elsewhere") / shard);
  const CurrentFolder there(folder_ / "elsewhere");
  EXPECT_EQ(resume_with(config(), run_, {}), 0);
  ASSERT_EQ(read_history(run_).history.size(), 1u);
  EXPECT_EQ(read_history(run_).history.back().folder, fs::current_path().string());
}

}  // namespace
}  // namespace gptmoe::testing
