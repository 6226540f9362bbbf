// Which folders are runs, which run a checkpoint belongs to, and the rows of metrics.jsonl.
#include "records/run_folder.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "records/metrics_file.h"
#include "report/made_runs.h"
#include "support/error_line.h"
#include "support/error_message.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

class RunFolders : public ::testing::Test {
 protected:
  // A run with a checkpoint, which has a config.json of its own.
  void SetUp() override {
    write_run(run_, train_line(1, 100, 10));
    fs::create_directories(checkpoint_);
    for (const char* name : {"state.json", "config.json"}) write_text_file(checkpoint_ / name, "{}");
  }
  TemporaryFolder folder_;
  const fs::path run_ = folder_ / "run", checkpoint_ = run_ / "checkpoints/step_00000004";
};

TEST_F(RunFolders, HoldRunsButNoCheckpointsAndExportedModels) {
  EXPECT_TRUE(holds_run(run_));
  EXPECT_FALSE(holds_run(checkpoint_));
  EXPECT_FALSE(holds_run(folder_.path()));
  EXPECT_FALSE(holds_run(folder_ / "nowhere"));
  const auto with_config = [&](const std::string& config) {
    const fs::path folder = folder_ / "other";
    fs::create_directories(folder);
    write_text_file(folder / "config.json", config);
    return folder;
  };
  EXPECT_FALSE(holds_run(with_config(R"({"model_type": "olmoe", "vocab_size": 29})")));
  EXPECT_TRUE(holds_run(with_config(R"({"train": {"steps": 4}} // no rows yet)")));
  EXPECT_TRUE(holds_run(with_config("{"))) << "whoever reads it says what is wrong";
}

TEST_F(RunFolders, ThatAreLinksToNothingAreNotEmpty) {
  fs::create_directory_symlink("unmounted", folder_ / "link");
  EXPECT_TRUE(message<UserError>([&] {
                holds_run(folder_ / "link");
              }).starts_with((folder_ / "link").string() + ": cannot access it: it is a link to unmounted"));
}

TEST_F(RunFolders, AreFoundFromTheirCheckpoints) {
  EXPECT_EQ(run_of_checkpoint(checkpoint_), run_);
  EXPECT_EQ(run_of_checkpoint(checkpoint_ / ""), run_);
  const fs::path here = fs::current_path();
  fs::current_path(folder_.path());
  EXPECT_EQ(run_of_checkpoint("run/checkpoints/step_00000004"), "run");
  fs::current_path(run_);
  EXPECT_EQ(run_of_checkpoint("checkpoints/step_00000004"), ".");
  fs::current_path(checkpoint_);
  EXPECT_TRUE(fs::equivalent(run_of_checkpoint(".").value_or(""), run_));
  fs::current_path(here);
  fs::create_directory_symlink(checkpoint_, folder_ / "best");
  EXPECT_TRUE(fs::equivalent(run_of_checkpoint(folder_ / "best").value_or(""), run_));
  fs::create_directory(folder_ / "checkpoints");
  fs::copy(checkpoint_, folder_ / "checkpoints/copy", fs::copy_options::recursive);
  EXPECT_FALSE(run_of_checkpoint(folder_ / "checkpoints/copy"));
}

// A run may keep its checkpoints on another disk.
TEST_F(RunFolders, AreFoundThroughALinkToTheirCheckpoints) {
  fs::create_directory(folder_ / "disk");
  fs::rename(run_ / "checkpoints", folder_ / "disk/saved");
  fs::create_directory_symlink(folder_ / "disk/saved", run_ / "checkpoints");
  EXPECT_EQ(run_of_checkpoint(checkpoint_), run_);
}

TEST(MetricsRows, AreWholeLines) {
  const std::string rows = train_line(1, 100, 10) + eval_line(1, 100, 2, 1), cut = train_line(2, 200, 10);
  for (const size_t kept : {size_t{0}, size_t{1}, cut.size() - 1}) {
    std::vector<std::string> seen;
    for_each_row(rows + cut.substr(0, kept), "m", [&](const MetricsLine& row) {
      seen.push_back(text(row.place(), " ", row.event(), " ", row.step(), " ", row.row().index()));
    });
    EXPECT_EQ(seen, (std::vector<std::string>{"m:1 train 1 0", "m:2 eval 1 1"})) << kept;
  }
}

}  // namespace
}  // namespace gptmoe
