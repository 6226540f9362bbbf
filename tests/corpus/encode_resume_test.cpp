// However an encoding job is interrupted, its final files equal those of an uninterrupted job.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>

#include "base/lock.h"
#include "base/progress.h"
#include "base/rng.h"
#include "corpus/encode_resume_fixture.h"
#include "support/error_message.h"
#include "support/file_size_limit.h"
#include "support/write_shard.h"

namespace gptmoe {
namespace {

TEST_F(EncodeResumeTest, ContinuesAfterAnyBatchWithAnyNumberOfThreads) {
  for (int batches : {1, 5}) {
    EncodeOptions job = options("out");
    fs::remove_all(job.output);
    int runs = 0;
    do {
      job.threads = 1 + runs++ % 3;
      ASSERT_LT(runs, 1000);
    } while (!run_for(batches, job));
    EXPECT_GT(runs, 1);
    expect_same_files(job.output, folder / "whole");
  }
}

TEST_F(EncodeResumeTest, FinishedShardsAreNotTouchedAgain) {
  EncodeOptions job = options("out");
  run_for(6, job);
  std::map<fs::path, fs::file_time_type> before;
  for (const auto& entry : fs::directory_iterator(job.output))
    if (entry.path().extension() == ".bin") before[entry.path()] = entry.last_write_time();
  ASSERT_GT(before.size(), 1u);
  EXPECT_TRUE(run_for(-1, job));
  for (const auto& [path, time] : before) EXPECT_EQ(fs::last_write_time(path), time) << path;
}

TEST_F(EncodeResumeTest, WorkAfterTheLastCheckpointIsRepeated) {
  EncodeOptions job = options("out");
  job.shard_tokens = 1 << 20;
  encode(inputs, [&] {
    EncodeOptions whole = job;
    whole.output = folder / "two";
    return whole;
  }());
  run_for(6, job);
  job.checkpoint_seconds = 1e9;
  run_for(6, job);  // discarded on resume: it wrote no checkpoint
  EXPECT_TRUE(run_for(-1, job));
  expect_same_files(job.output, folder / "two");
}

TEST_F(EncodeResumeTest, BeforeTheFirstCheckpointNothingIsLeft) {
  EncodeOptions job = options("out");
  job.checkpoint_seconds = 1e9;
  job.shard_tokens = 1 << 20;
  EXPECT_FALSE(run_for(5, job));
  EXPECT_FALSE(fs::exists(job.output));
  fs::create_directory(job.output);
  write_text_file(job.output / "tokenizer.json", "{}");
  EXPECT_FALSE(run_for(5, job));
  EXPECT_EQ(content(job.output).size(), 1u);
}

TEST_F(EncodeResumeTest, StoppedOnRequest) {
  EncodeOptions job = options("out");
  job.checkpoint_seconds = 1e9;
  job.threads = 2;
  for (int runs = 0;; ++runs) {
    ASSERT_LT(runs, 100);
    int asked = 0;
    job.stop = [&] { return ++asked > 5; };
    const JobSummary summary = encode(inputs, job);
    if (summary.outcome == JobOutcome::done) break;
    EXPECT_EQ(summary.outcome, JobOutcome::stopped);
    expect_only_listed_shards(job.output);
  }
  expect_same_files(job.output, folder / "whole");
}

TEST_F(EncodeResumeTest, KilledAtAnyMoment) {
  const Rng rng(7, 0);
  EncodeOptions job = options("out");
  batch_bytes = 100;
  // The manifest's inode. Every checkpoint replaces the file.
  const auto checkpoint = [&] {
    struct stat status {};
    return stat((job.output / "manifest.json").c_str(), &status) == 0 ? status.st_ino : 0;
  };
  for (uint64_t kill = 0; kill < 20; ++kill) {
    const auto before = checkpoint();
    const pid_t child = fork();
    if (child == 0) {
      job.threads = 1 + static_cast<int>(kill % 3);
      try {
        encode(inputs, job);
      } catch (...) {
        _exit(1);
      }
      _exit(0);
    }
    int status = 0;
    bool ended = false;
    while (!(ended = waitpid(child, &status, WNOHANG) == child) && checkpoint() == before) usleep(100);
    if (!ended) {
      usleep(static_cast<useconds_t>(rng.below(kill, 2000)));
      ::kill(child, SIGKILL);
      waitpid(child, &status, 0);
    }
    ASSERT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    expect_only_listed_shards(job.output);
  }
  encode(inputs, job);
  expect_same_files(job.output, folder / "whole");
}

TEST_F(EncodeResumeTest, KilledBetweenTheManifestAndTheRenames) {
  const auto unname = [&](const std::string& shard) {
    fs::rename(folder / "whole" / shard, (folder / "whole" / (shard + ".partial")));
  };
  const auto before = content(folder / "whole");
  unname("train_000001.bin");
  unname("val_000000.bin");
  EXPECT_EQ(encode(inputs, options("whole")).outcome, JobOutcome::was_done);
  EXPECT_TRUE(content(folder / "whole") == before);
}

TEST_F(EncodeResumeTest, LeftoversOfAKilledFirstRunAreRemoved) {
  EncodeOptions job = options("out");
  fs::create_directory(job.output);
  write_text_file(job.output / "train_000000.bin.partial", "x");
  write_text_file(job.output / "val_000007.bin.partial", "x");
  encode(inputs, job);
  expect_same_files(job.output, folder / "whole");
}

TEST_F(EncodeResumeTest, PartialFilesBeyondTheCheckpointAreRemoved) {
  EncodeOptions job = options("out");
  run_for(6, job);
  write_text_file(job.output / "train_000900.bin.partial", "x");
  EXPECT_TRUE(run_for(-1, job));
  expect_same_files(job.output, folder / "whole");
}

TEST_F(EncodeResumeTest, AFinishedJobIsLeftAsItIs) {
  const auto before = content(folder / "whole");
  const JobSummary summary = encode(inputs, options("whole"));
  EXPECT_EQ(summary.outcome, JobOutcome::was_done);
  EXPECT_EQ(summary.documents(), 101);
  EXPECT_EQ(summary.resumed_bytes, summary.bytes());
  EXPECT_TRUE(content(folder / "whole") == before);
}

TEST_F(EncodeResumeTest, AnotherJobIsRefused) {
  run_for(6, options("out"));
  for (const char* name : {"out", "whole"}) {
    const auto before = content(folder / name);
    EncodeOptions other = options(name);
    other.val_fraction = 0.4;
    expect_contains(error_of([&] { encode(inputs, other); }), "started with --val-fraction 0.3, but now it is 0.4");
    expect_contains(error_of([&] { encode(std::vector{inputs[0]}, options(name)); }),
                    "started with the number of input files 3, but now it is 1");
    EXPECT_TRUE(content(folder / name) == before);
  }
}

TEST_F(EncodeResumeTest, FilesForValidationContinueAndAreCompared) {
  EncodeOptions whole = options("val_whole"), job = options("val");
  whole.val_fraction = job.val_fraction = 0;
  val_inputs = {inputs.back()};
  inputs.pop_back();
  encode(inputs, whole);
  for (int batches = 1; !run_for(batches, job); ++batches) ASSERT_LT(batches, 100);
  expect_same_files(job.output, whole.output);
  std::swap(val_inputs[0], inputs[1]);
  expect_contains(error_of([&] { encode(inputs, job); }), "started with input file 2 ");
  inputs.push_back(val_inputs[0]);
  val_inputs.clear();
  expect_contains(error_of([&] { encode(inputs, job); }), "started with --val 1 file, but now --val is not given");
}

TEST_F(EncodeResumeTest, AChangedInputIsRefused) {
  run_for(6, options("out"));
  write_documents(41, "c.jsonl");
  expect_contains(error_of([&] { encode(inputs, options("out")); }), "started with input file 3 " + inputs[2] + " of ");
}

TEST_F(EncodeResumeTest, ChangedContentOfTheSameSizeIsRefused) {
  run_for(6, options("out"));
  std::string text = read_text_file(inputs[1]);
  std::reverse(text.begin(), text.end());
  const fs::file_time_type before = fs::last_write_time(inputs[1]);
  write_text_file(inputs[1], text);
  fs::last_write_time(inputs[1], before + std::chrono::nanoseconds(1));
  for (const char* name : {"out", "whole"})
    expect_contains(
        error_of([&] { encode(inputs, options(name)); }),
        "started with input file 2 " + inputs[1] + " of " + grouped_digits(std::ssize(text)) + " bytes, last changed ");
}

TEST_F(EncodeResumeTest, AnotherSpellingOfAPathIsTheSameInput) {
  EncodeOptions job = options("out");
  run_for(6, job);
  inputs[0] = (folder / "./a.jsonl").string();
  inputs[2] = (folder.path() / "x" / ".." / "c.jsonl").string();
  fs::create_directory(folder / "x");
  EXPECT_TRUE(run_for(-1, job));
  expect_same_files(job.output, folder / "whole");
}

TEST_F(EncodeResumeTest, ABadLineCanBeSkippedLater) {
  const std::string bad = (folder / "bad.jsonl").string();
  std::string lines = read_text_file(inputs[0]);
  write_text_file(bad, lines + "{broken\n" + lines);
  skip_errors = true;
  EncodeOptions whole = options("skipped"), job = options("out");
  encode(std::vector{bad}, whole);
  skip_errors = false;
  expect_contains(error_of([&] { encode(std::vector{bad}, job); }), "line 61");
  EXPECT_TRUE(fs::exists(job.output / "manifest.json"));
  skip_errors = true;
  EXPECT_EQ(encode(std::vector{bad}, job).skipped.count, 1);
  expect_same_files(job.output, whole.output);
}

TEST_F(EncodeResumeTest, AFullDiskLosesNothingThatWasSaved) {
  EncodeOptions job = options("out"), whole = options("one");
  job.shard_tokens = whole.shard_tokens = 1 << 20;
  encode(inputs, whole);
  {
    const FileSizeLimit full(2500);
    const std::string line = message<Failure>([&] { encode(inputs, job); });
    expect_contains(line, ".bin.partial: cannot write: File too large");
    expect_contains(line, "run the same command again to continue");
  }
  EXPECT_EQ(error_of([&] { EXPECT_GT(encode(inputs, job).resumed_bytes, 0); }), "no error");
  expect_same_files(job.output, whole.output);
}

TEST_F(EncodeResumeTest, AFullDiskBeforeTheFirstCheckpointLeavesNothing) {
  const FileSizeLimit full(500);
  expect_contains(message<Failure>([&] { encode(inputs, options("out")); }), "File too large");
  EXPECT_FALSE(fs::exists(folder / "out"));
}

// While this object exists, standard input reads a file.
class StandardInput {
 public:
  explicit StandardInput(const fs::path& path) : saved_(dup(STDIN_FILENO)) {
    const int file = open(path.c_str(), O_RDONLY);
    dup2(file, STDIN_FILENO);
    close(file);
  }
  ~StandardInput() {
    dup2(saved_, STDIN_FILENO);
    close(saved_);
  }

 private:
  int saved_;
};

TEST_F(EncodeResumeTest, StandardInputIsEncodedCompletelyOrNotAtAll) {
  EncodeOptions job = options("out");
  {
    const StandardInput file(inputs[0]);
    inputs = {"-"};
    EXPECT_FALSE(run_for(2, job));
    EXPECT_FALSE(fs::exists(job.output));
  }
  {
    const StandardInput file(folder / "a.jsonl");
    int asked = 0;
    job.stop = [&] { return ++asked > 2; };
    EXPECT_EQ(encode(inputs, job).outcome, JobOutcome::stopped);
    EXPECT_FALSE(fs::exists(job.output));
    job.stop = {};
  }
  {
    const StandardInput file(folder / "a.jsonl");
    EXPECT_EQ(encode(inputs, job).documents(), 60);
  }
  const StandardInput file(folder / "a.jsonl");
  expect_contains(error_of([&] { encode(inputs, job); }),
                  job.output.string() + ": holds an encoding of standard input, which cannot be checked for changes");
}

TEST_F(EncodeResumeTest, OneEncoderAtATime) {
  fs::create_directory(folder / "out");
  const FolderLock lock(folder / "out", "");
  expect_contains(error_of([&] { encode(inputs, options("out")); }),
                  text((folder / "out").string(), ": another process (", getpid(), ") is writing shards into this"));
  EXPECT_TRUE(fs::is_empty(folder / "out")) << "the folder of the other process remains, and is empty";
}

}  // namespace
}  // namespace gptmoe
