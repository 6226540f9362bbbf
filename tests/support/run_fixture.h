#pragma once
// Whole runs of a tiny model over shards of random tokens, and the check that two runs agree.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"
#include "support/error_line.h"
#include "support/error_message.h"
#include "support/model_fixture.h"
#include "support/temporary_folder.h"
#include "support/write_shard.h"
#include "train/run_directory.h"
#include "train/train.h"

namespace gptmoe::testing {

namespace fs = std::filesystem;

inline void write_random_shard(const fs::path& path, int64_t vocab_size, int64_t tokens, uint64_t seed) {
  const Rng rng(seed, 0);
  std::vector<int32_t> ids;
  for (uint64_t i = 0; i < static_cast<uint64_t>(tokens); ++i)
    ids.push_back(static_cast<int32_t>(rng.below(i, static_cast<uint64_t>(vocab_size))));
  write_shard(path, vocab_size, ids);
}

// A folder with shards: two for training, with 17 windows of 7 tokens in all, and one for validation, with 11 windows.
class RunFolder {
 public:
  RunFolder() {
    write_random_shard(folder_ / "train_0.bin", 29, 67, 1);
    write_random_shard(folder_ / "train_1.bin", 29, 58, 2);
    write_random_shard(folder_ / "val_0.bin", 29, 80, 3);
  }
  fs::path operator/(const std::string& name) const { return folder_ / name; }

  // 12 steps of the tiny model, saved every 4 and evaluated every 5; `changes` is merged into that config.
  Config config(const nlohmann::json& changes = nlohmann::json::object()) const {
    nlohmann::json run = {{"data", {{"train", folder_ / "train_*.bin"}, {"val", folder_ / "val_*.bin"}}},
                          {"train", {{"steps", 12}, {"eval_every", 5}}},
                          {"schedule", {{"warmup_steps", 3}}},
                          {"checkpoint", {{"every", 4}, {"keep", 0}}}};
    if (!changes.is_null()) run.merge_patch(changes);
    return tiny_config(run);
  }

 private:
  TemporaryFolder folder_;
};

// The matrix rate of these runs, in FLOP/s. Measuring it for each of many tiny runs would take longer than the runs.
constexpr double kMatrixRate = 1e11;

// Calls train() without letting it print; stores what it printed in *screen if `screen` is not null.
inline int train_quietly(const Config& config, const fs::path& out, World& world, bool resume = false,
                         std::string* screen = nullptr) {
  ::testing::internal::CaptureStdout();
  struct Restore {
    std::string* screen;
    ~Restore() {
      const std::string printed = ::testing::internal::GetCapturedStdout();
      if (screen) *screen = printed;
    }
  } restore{screen};
  return train(config,
               {.out = out, .resume = resume, .resume_command = "gptmoe train --resume", .matrix_rate = kMatrixRate},
               world);
}
inline int train_quietly(const Config& config, const fs::path& out, bool resume = false,
                         std::string* screen = nullptr) {
  return train_quietly(config, out, *make_single_world(), resume, screen);
}

// Makes the folder of a branch, ready to be resumed.
inline void start_branch(const fs::path& from, const fs::path& out, const Config& config) {
  UnstartedRun run(out);
  branch_run(from, run, config);
  run.begin();
}

// Resumes a run as `gptmoe train --resume` does with --set for each key in `set`. `config` holds the new values.
inline int resume_with(const Config& config, const fs::path& out, const std::vector<std::string>& set,
                       bool restart = false) {
  ::testing::internal::CaptureStdout();
  struct Restore {
    ~Restore() { ::testing::internal::GetCapturedStdout(); }
  } restore;
  return train(config, {.out = out, .resume = true, .set = set, .restart = restart, .matrix_rate = kMatrixRate},
               *make_single_world());
}

// The rows of a run's metrics, without the fields that depend on the machine and its time.
inline std::vector<nlohmann::json> metrics_of(const fs::path& run_dir) {
  std::vector<nlohmann::json> rows;
  std::ifstream in(run_dir / "metrics.jsonl");
  for (std::string line; std::getline(in, line);) {
    nlohmann::json row = nlohmann::json::parse(line);
    for (const char* clock :
         {"seconds", "time", "tokens_per_second", "mfu", "memory_bytes", "communication", "previous", "checksum"})
      row.erase(clock);
    rows.push_back(std::move(row));
  }
  return rows;
}

// "train 1", "eval 5", ...: the order of a run's rows.
inline std::vector<std::string> events_of(const fs::path& run_dir) {
  std::vector<std::string> events;
  for (const nlohmann::json& row : metrics_of(run_dir))
    events.push_back(row["event"].get<std::string>() + " " + std::to_string(row["step"].get<int64_t>()));
  return events;
}

// Expects both runs to be complete, and to agree in every measured value and every saved bit.
inline void expect_same_run(const fs::path& expected, const fs::path& actual) {
  EXPECT_EQ(metrics_of(expected), metrics_of(actual));
  const auto a = latest_checkpoint(expected), b = latest_checkpoint(actual);
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->filename(), b->filename());
  for (const char* file : {"model.safetensors", "optimizer.safetensors"})
    EXPECT_TRUE(read_text_file(*a / file) == read_text_file(*b / file)) << file;
}

inline void copy_folder(const fs::path& from, const fs::path& to) { fs::copy(from, to, fs::copy_options::recursive); }

inline void append_text(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::app | std::ios::binary) << text;
}

// Makes the run look as if it had crashed some time after it saved the checkpoint of `step`: that checkpoint is the
// last one, but the metrics contain later steps.
inline void cut_back(const fs::path& run_dir, int64_t step) {
  for (const fs::path& checkpoint : list_checkpoints(run_dir))
    if (read_checkpoint_state(checkpoint).step > step) fs::remove_all(checkpoint);
  fs::remove(run_dir / "checkpoints/LATEST");
}

// Returns the message of the `Error` that `action` throws; expects it to be a single line.
template <typename Error, typename Action>
std::string error_line(Action action) {
  const std::string line = message<Error>(action);
  EXPECT_EQ(line.find('\n'), std::string::npos) << line;
  return line;
}

}  // namespace gptmoe::testing
