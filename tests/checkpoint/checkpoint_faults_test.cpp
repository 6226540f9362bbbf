// Checkpoints after a crash, after damage, and on a disk that fails.
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>

#include "base/check.h"
#include "base/checksum.h"
#include "base/file.h"
#include "checkpoint/checkpoint_fixture.h"
#include "checkpoint/held_checkpoint.h"
#include "support/error_message.h"
#include "support/file_size_limit.h"
#include "support/open_file_limit.h"

namespace gptmoe::testing {
namespace {

std::string refused_rename;  // a rename to a path that ends so fails; empty: none

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

// ---- Readers beside a run that removes old checkpoints -----------------------------------------------------------

TEST_F(CheckpointFaults, ACheckpointThatIsReadIsNotRemoved) {
  save(5);
  save(10);
  {
    const HeldCheckpoint held = hold_checkpoint(at(5));
    save(15, 1);
    EXPECT_EQ(list_checkpoints(run()), (std::vector<fs::path>{at(5), at(15)}));
  }
  save(20, 1);
  EXPECT_EQ(list_checkpoints(run()), std::vector<fs::path>{at(20)});
}

TEST_F(CheckpointFaults, AReaderAlwaysFindsACheckpoint) {
  save(1);
  std::atomic<bool> done = false;
  std::thread trainer([&] {
    for (int64_t step = 2; step <= 30; ++step) save(step, 1);
    done = true;
  });
  CheckpointModel loaded(999);
  int64_t reads = 0;
  for (; !done; ++reads) {
    const HeldCheckpoint held = hold_checkpoint(run());
    EXPECT_NO_THROW(load_checkpoint(held.path, loaded.tensors()));
    EXPECT_GE(saved_step(run()), 1);
  }
  trainer.join();
  EXPECT_GT(reads, 0);
}

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
  save(15);  // removes what the crash left
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
  save(20);  // replaces the finished one
  expect_latest(20);
  EXPECT_EQ(names(), (std::set<std::string>{"LATEST", "step_00000010", "step_00000020"}));
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

// A finished run saves nothing more.
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

// ---- Damage ------------------------------------------------------------------------------------------------------

TEST_F(CheckpointFaults, EveryFlippedByteIsFoundBeforeAnyTensorIsWritten) {
  save(10);
  save(20);
  CheckpointModel loaded(999);
  const std::string before = loaded.all_bytes();
  for (const std::string& name : kReadFiles) {
    const std::string whole = read_text_file(at(20) / name);
    for (size_t i = 0; i < whole.size(); ++i) {
      const int mask = i % 3 == 0 ? 0x20 : i % 3 == 1 ? 0x01 : 0xff;
      put(at(20) / name, i, static_cast<char>(whole[i] ^ mask));
      const std::string why = message<UserError>([&] { load_checkpoint(at(20), loaded.tensors()); });
      EXPECT_EQ(why.find((at(20) / name).string() + ": does not match its"), 0u) << i << ": " << why;
      EXPECT_TRUE(contains(why, "; remove " + at(20).string() + " to use the earlier step_00000010")) << why;
      put(at(20) / name, i, whole[i]);
    }
  }
  EXPECT_TRUE(loaded.all_bytes() == before);
  expect_holds(at(20), 20, 20);
}

TEST_F(CheckpointFaults, EveryTruncationIsFound) {
  save(10);
  CheckpointModel loaded(999);
  const std::string before = loaded.all_bytes();
  for (const std::string& name : kReadFiles) {
    const std::string whole = read_text_file(at(10) / name);
    for (size_t size = whole.size(); size-- > 0;) {
      fs::resize_file(at(10) / name, size);
      const std::string why = message<UserError>([&] { load_checkpoint(at(10), loaded.tensors()); });
      EXPECT_TRUE(contains(why, (at(10) / name).string() + ": does not match its")) << size << ": " << why;
      EXPECT_TRUE(contains(why, "; there is no earlier checkpoint: start the run again")) << why;
    }
    write(at(10) / name, whole + '\0');
    EXPECT_THROW(load_checkpoint(at(10), loaded.tensors()), UserError);
    write(at(10) / name, whole);
  }
  EXPECT_TRUE(loaded.all_bytes() == before);
}

TEST_F(CheckpointFaults, AMissingFileIsNamed) {
  save(10);
  save(20);
  save(30);
  CheckpointModel loaded(999);
  for (const std::string& name : kReadFiles) {
    fs::rename(at(20) / name, folder_ / name);
    EXPECT_EQ(message<UserError>([&] { load_checkpoint(at(20), loaded.tensors()); }),
              (at(20) / name).string() + ": cannot open: No such file or directory; remove " + at(20).string() +
                  " to use the earlier step_00000010");
    fs::rename(folder_ / name, at(20) / name);
  }
}

// A step that is named as the one to use is intact.
TEST_F(CheckpointFaults, NoDamagedStepIsRecommended) {
  for (const int64_t step : {10, 20, 30}) save(step);
  fs::resize_file(at(30) / "model.safetensors", 100);
  fs::resize_file(at(20) / "optimizer.safetensors", 100);
  EXPECT_EQ(damage_remedy(at(30)),
            "remove " + at(30).string() + " and step_00000020, which is damaged too, to use the earlier step_00000010");
  fs::remove(at(10) / "model.safetensors");
  EXPECT_EQ(damage_remedy(at(30)), "no earlier checkpoint is intact: start the run again");
}

TEST_F(CheckpointFaults, DamageOutsideARunIsNoReasonToTrainAgain) {
  save(10);
  const fs::path copy = folder_ / "copy";
  fs::copy(at(10), copy);
  fs::resize_file(copy / "model.safetensors", 100);
  EXPECT_TRUE(contains(message<UserError>([&] { open_model(copy); }), "cut short; import or copy it again"));
}

// Intact files from two different checkpoints do not form a checkpoint.
TEST_F(CheckpointFaults, MixedCheckpointsAreFound) {
  save(10);
  save(20);
  fs::copy_file(at(10) / "optimizer.safetensors", at(20) / "optimizer.safetensors",
                fs::copy_options::overwrite_existing);
  CheckpointModel loaded(999);
  EXPECT_THROW(load_checkpoint(at(20), loaded.tensors()), UserError);
}

TEST_F(CheckpointFaults, ANewerFormatIsRefused) {
  save(10);
  std::string content = read_text_file(at(10) / "state.json");
  const size_t version = content.find("\"format_version\": 1");
  ASSERT_NE(version, std::string::npos);
  content.replace(version, 19, "\"format_version\": 2");
  const std::string body = content.substr(0, content.rfind(",\n  \"checksum\""));
  write(at(10) / "state.json", body + ",\n  \"checksum\": \"" + checksum_text(checksum_of(body)) + "\"\n}\n");
  EXPECT_EQ(message<UserError>([&] { read_checkpoint_state(at(10)); }),
            (at(10) / "state.json").string() +
                ": the checkpoint has format version 2 and this build of gptmoe reads version 1: update gptmoe");
}

TEST_F(CheckpointFaults, ARefusalOfAnotherModelNamesTheFirstTensorThatDiffers) {
  save(10);
  const auto refusal = [&](const CheckpointModel& model) {
    const std::string before = model.all_bytes();
    const std::string why = message<UserError>([&] { load_checkpoint(at(10), model.tensors()); });
    EXPECT_TRUE(model.all_bytes() == before);
    EXPECT_TRUE(contains(why,
                         "; the checkpoint belongs to another model: use the config it was saved with "
                         "(config.json of its run)"))
        << why;
    return why.substr(0, why.find(';'));
  };
  const std::string file = (at(10) / "model.safetensors").string() + ": tensor ";
  EXPECT_EQ(refusal(CheckpointModel(1, DType::f32, 6)), file + "\"embed\": has the shape (7, 5) and not (7, 6)");
  EXPECT_EQ(refusal(CheckpointModel(1, DType::f32, 5, 3)), file + "\"layers.2.q\": is missing");
  EXPECT_EQ(refusal(CheckpointModel(1, DType::f32, 5, 1)), file + "\"layers.1.q\": this run's model does not have it");
  save(10, CheckpointModel(1, DType::f64));
  EXPECT_EQ(refusal(CheckpointModel(1)), file + "\"embed\": holds f64, which does not convert exactly to f32");
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

// A FIFO or device in place of a file is neither a file nor its absence.
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
