// Checkpoints after a crash and on a disk that fails.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/checksum.h"
#include "base/file.h"
#include "checkpoint/checkpoint_fixture.h"
#include "checkpoint/checkpoint_folders.h"
#include "support/error_message.h"
#include "support/file_size_limit.h"
#include "support/open_file_limit.h"

namespace gptmoe::testing {
namespace {

std::string refused_rename;  // a rename to a path with this ending fails; empty: none fails

}  // namespace
}  // namespace gptmoe::testing

// Takes the place of the C library's function in this program.
extern "C" int rename(const char* from, const char* to) noexcept {
  const std::string& refused = gptmoe::testing::refused_rename;
  if (!refused.empty() && std::string_view(to).ends_with(refused)) {
    errno = EIO;
    return -1;
  }
  return static_cast<int>(syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to));
}

namespace gptmoe::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

using CheckpointFaults = Checkpoint;

// ---- Crashes: the state of the folder after a kill at each stage of a save ---------------------------------------

TEST_F(CheckpointFaults, CrashWhileWriting) {
  save(5);
  save(10);
  fs::path unfinished = at(20);
  unfinished += ".tmp";
  fs::create_directory(unfinished);
  write(unfinished / "model.safetensors", "half");
  write(unfinished / "optimizer.safetensors.tmp", "half");
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(5), at(10)}));
  expect_latest(10);
  save(15);  // removes the files that the crash left
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000005", "step_00000010", "step_00000015"}));
}

TEST_F(CheckpointFaults, CrashBeforeTheRename) {
  save(10);
  save(20);
  fs::path unfinished = at(20);
  unfinished += ".tmp";
  fs::rename(at(20), unfinished);
  write(folder() / "LATEST", "step_00000010\n");
  expect_latest(10);
  save(20);
  expect_latest(20);
  EXPECT_FALSE(fs::exists(unfinished));
}

TEST_F(CheckpointFaults, CrashBetweenRenameAndLatest) {
  save(10);
  save(20);
  write(folder() / "LATEST", "step_00000010\n");
  write(folder() / "LATEST.gptmoe-tmp-99999999-1", "step_0000");
  expect_latest(10);
  save(20);  // replaces the finished checkpoint of step 20
  expect_latest(20);
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000010", "step_00000020"}));
}

TEST_F(CheckpointFaults, ACheckpointThatWasBeingReplacedIsTheLatest) {
  save(5);
  save(10);
  fs::path old = at(10);
  old += ".old";
  fs::rename(at(10), old);
  EXPECT_EQ(latest_note(run()), "") << "LATEST names step 10, which exists under another name";
}

TEST_F(CheckpointFaults, CrashWhileReplacing) {
  save(10);
  fs::path old = at(10), unfinished = at(10);
  old += ".old";
  unfinished += ".tmp";
  fs::rename(at(10), old);
  fs::create_directory(unfinished);
  write(unfinished / "state.json", "whole or not");
  const auto latest = latest_checkpoint(run());
  ASSERT_TRUE(latest);
  EXPECT_EQ(*latest, old);
  expect_holds(*latest, 10, 10);
  EXPECT_EQ(resolve_checkpoint(run()), old);

  save(15);  // the moved checkpoint still counts as step 10
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{old, at(15)}));
  save(10, CheckpointModel(10));
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(10), at(15)}));
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000010", "step_00000015"}));
  expect_latest(10);
}

// A finished run saves no more checkpoints, so no later save removes the leftovers.
TEST_F(CheckpointFaults, LeftoversOfTheLastSaveCanBeRemovedWithoutAnother) {
  save(5);
  save(10);
  for (const char* left : {"step_00000005.old", "step_00000020.tmp", "step_00000003.old.tmp"})
    fs::copy(at(5), folder() / left, fs::copy_options::recursive);
  write(folder() / "LATEST.gptmoe-tmp-99999999-1", "step_0000");
  remove_unfinished_checkpoints(run());
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000005", "step_00000010"}));
  expect_holds(at(5), 5, 5);
}

TEST_F(CheckpointFaults, CrashBeforeTheReplacedOneIsRemoved) {
  save(10);
  fs::path old = at(10);
  old += ".old";
  fs::rename(at(10), old);
  save(10, CheckpointModel(77));
  EXPECT_FALSE(fs::exists(old));
  fs::copy(at(10), old, fs::copy_options::recursive);
  fs::remove(old / "model.safetensors");  // half of it removed
  EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(10)}));
  save(11);
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000010", "step_00000011"}));
}

TEST_F(CheckpointFaults, WithoutLatestTheNewestIsUsed) {
  save(10);
  save(20);
  fs::remove(folder() / "LATEST");
  expect_latest(20);
  fs::copy(at(10), folder_ / "other");
  for (const char* content : {"step_00000030\n", "", "../../other\n", "step_00000010/..\n", "\n\n"}) {
    write(folder() / "LATEST", content);
    expect_latest(20);
  }
  write(folder() / "LATEST", "step_00000010");
  expect_latest(10);
  fs::remove(at(10) / "state.json");  // LATEST names it, but it is incomplete
  expect_latest(20);
}

TEST_F(CheckpointFaults, WhereTheSystemCannotLookIsNotWithoutCheckpoints) {
  save(10);
  const auto refused = [&](const fs::path& path, const std::string& why) {
    const std::string expected = path.string() + ": cannot access it: " + why;
    EXPECT_EQ(message<UserError>([&] { latest_checkpoint(run()); }), expected);
    EXPECT_EQ(message<UserError>([&] { resolve_checkpoint(run()); }), expected);
    return expected;
  };
  const std::string loop = "Too many levels of symbolic links";
  fs::rename(folder(), folder_ / "moved");
  fs::create_symlink("nowhere", folder());
  const std::string lost = refused(folder(), "it is a link to nowhere, which does not exist");
  EXPECT_EQ(message<UserError>([&] { list_checkpoints(run()); }), lost);
  fs::remove(folder());

  fs::create_symlink("checkpoints", folder());
  const std::string looping = refused(folder(), loop);
  EXPECT_EQ(message<UserError>([&] { list_checkpoints(run()); }), looping);
  const std::string unsaved = message<Failure>([&] { save(20); });
  EXPECT_TRUE(
      contains(unsaved, "; step 20 is not saved, and whether there is an earlier checkpoint is unknown: " + looping))
      << unsaved;
  fs::remove(folder());

  fs::create_symlink(folder_ / "moved", folder());
  expect_latest(10);
  fs::rename(folder() / "LATEST", folder_ / "latest");
  fs::create_symlink("LATEST", folder() / "LATEST");
  refused(folder() / "LATEST", loop);
  fs::rename(folder_ / "latest", folder() / "LATEST");
  expect_latest(10);
  fs::rename(at(10) / "state.json", folder_ / "state.json");
  fs::create_symlink("state.json", at(10) / "state.json");
  EXPECT_EQ(message<UserError>([&] { list_checkpoints(run()); }), refused(at(10) / "state.json", loop));
}

TEST_F(CheckpointFaults, ASaveSucceedsBesideAFolderThatCannotBeRead) {
  save(10);
  fs::rename(at(10) / "state.json", folder_ / "state.json");
  fs::create_symlink("state.json", at(10) / "state.json");
  save(20, 1);
  expect_latest(20);
  EXPECT_TRUE(fs::exists(at(10))) << "nobody knows whether it is a checkpoint";
}

// ---- A disk that fails -------------------------------------------------------------------------------------------

TEST_F(CheckpointFaults, AFullDiskLeavesEverythingAsItWas) {
  save(5);
  save(10);
  const auto before = names();
  CheckpointState state = state_at(20);
  state.config = json{{"padding", std::string(20000, 'x')}};
  const auto model_size = fs::file_size(at(10) / "model.safetensors");
  const auto optimizer_size = fs::file_size(at(10) / "optimizer.safetensors");
  ASSERT_LT(model_size, optimizer_size);
  for (const auto& [limit, name] : {std::pair<rlim_t, std::string>{100, "model.safetensors"},
                                    {model_size - 1, "model.safetensors"},
                                    {model_size, "optimizer.safetensors"},
                                    {optimizer_size, "state.json"}})
    for (int64_t step : {20, 10}) {  // a new step and an existing one
      std::string why;
      {
        const FileSizeLimit full(limit);
        why = message<Failure>([&] { save_checkpoint(run(), step, CheckpointModel(77).tensors(), state, 1); });
      }
      EXPECT_EQ(why, (at(step).string() + ".tmp/" + name) + ": cannot write: File too large; step " +
                         std::to_string(step) + " is not saved, the previous checkpoint stays: " + at(10).string());
      EXPECT_EQ(names(), before);
      expect_latest(10);
      expect_holds(at(5), 5, 5);
    }
}

TEST_F(CheckpointFaults, AFullDiskAtTheFirstSave) {
  std::string why;
  {
    const FileSizeLimit full(100);
    why = message<Failure>([&] { save(5); });
  }
  EXPECT_TRUE(contains(why, "; step 5 is not saved, and there is no earlier checkpoint")) << why;
  EXPECT_TRUE(names().empty());
}

TEST_F(CheckpointFaults, AFileInTheWayIsNamed) {
  fs::create_directory(run());
  write(folder(), "a file");
  EXPECT_EQ(message<Failure>([&] { save(5); }),
            folder().string() + ": Not a directory; step 5 is not saved, and there is no earlier checkpoint");
  EXPECT_EQ(read_text_file(folder()), "a file");
}

TEST_F(CheckpointFaults, NoPermission) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  save(5);
  fs::permissions(folder(), fs::perms::owner_read | fs::perms::owner_exec);
  EXPECT_EQ(message<Failure>([&] { save(10); }), at(10).string() +
                                                     ".tmp: Permission denied; step 10 is not saved, the "
                                                     "previous checkpoint stays: " +
                                                     at(5).string());
  fs::permissions(folder(), fs::perms::owner_all);
  expect_latest(5);
}

// If LATEST cannot be replaced, the previous checkpoint stays the latest one.
TEST_F(CheckpointFaults, AFailureAtTheLastStageKeepsThePreviousCheckpoint) {
  save(5);
  refused_rename = "/LATEST";
  const std::string why = message<Failure>([&] { save(10, 1); });
  EXPECT_TRUE(contains(why, "the previous checkpoint stays: " + at(5).string())) << why;
  expect_latest(5);

  EXPECT_THROW(save(5, CheckpointModel(77), 1), Failure);  // the old checkpoint is kept until LATEST names the new one
  fs::path old = at(5);
  old += ".old";
  expect_holds(old, 5, 5);
  expect_holds(at(5), 5, 77);

  refused_rename.clear();
  save(10, 1);
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000010"}));
  expect_latest(10);
}

// A file that cannot be opened may be intact, so no message advises to remove it.
TEST_F(CheckpointFaults, WhatCannotBeOpenedIsNotCalledDamaged) {
  save(5);
  save(10);
  const OpenFileLimit no_more_files(3);
  EXPECT_EQ(message<UserError>([&] { read_checkpoint_state(at(10)); }),
            (at(10) / "state.json").string() + ": cannot open: Too many open files");
}

// A FIFO or device in place of a file counts neither as a file nor as a missing file.
TEST_F(CheckpointFaults, AFileOfAnotherKindIsNotAnAbsentCheckpoint) {
  save(5);
  save(10);
  fs::remove(at(10) / "state.json");
  fs::create_directory(at(10) / "state.json");
  EXPECT_EQ(message<UserError>([&] { latest_checkpoint(run()); }),
            (at(10) / "state.json").string() + ": not a regular file");
}

}  // namespace
}  // namespace gptmoe::testing
