#include "base/unfinished.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <optional>
#include <set>

#include "base/check.h"
#include "base/failing_calls.h"
#include "base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

// Runs `work` in a process that is then killed.
template <typename Work>
void in_killed_process(Work work) {
  const pid_t child = fork();
  if (child == 0) {
    work();
    kill(getpid(), SIGKILL);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
}

TEST(Unfinished, TwoWritersOfAFileDoNotMix) {
  TemporaryFolder folder;
  AtomicFile one(folder / "a");
  AtomicFile other(folder / "a");
  one.write("one");
  other.write("another");
  other.commit();
  EXPECT_EQ(read_text_file(folder / "a"), "another");
  one.commit();
  EXPECT_EQ(read_text_file(folder / "a"), "one");
  EXPECT_EQ(names_in(folder.path()), std::set<std::string>{"a"});
}

TEST(Unfinished, WhatALinkLeadsToIsNotWritten) {
  TemporaryFolder folder;
  write_text_file(folder / "precious", "old");
  for (const std::string& name : {std::string("a.tmp"), text("a.gptmoe-tmp-", getpid(), "-1")})
    fs::create_symlink("precious", folder / name);
  write_text_file(folder / "a", "new");
  EXPECT_EQ(read_text_file(folder / "a"), "new");
  EXPECT_EQ(read_text_file(folder / "precious"), "old");
  EXPECT_TRUE(fs::is_symlink(folder / text("a.gptmoe-tmp-", getpid(), "-1"))) << "only its maker may remove the link";
}

TEST(Unfinished, TheNextWriterOfAPathClearsWhatAKillLeft) {
  TemporaryFolder folder;
  in_killed_process([&] {
    new AtomicFile(folder / "a");
    new AtomicFile(folder / "b");
    auto* made = new Unfinished(new_unfinished_folder(folder / "c"));
    write_text_file(made->path / "inside", "x");
  });
  ASSERT_EQ(names_in(folder.path()).size(), 3u);
  write_text_file(folder / "a.gptmoe-tmp-1", "not ours");
  write_text_file(folder / "a.tmp-2024-1", "another program's");
  write_text_file(folder / "a.tmp-2024-1", "another program's");
  write_text_file(folder / "a.gptmoe-tmp-x-1", "not ours");
  write_text_file(folder / "a", "x");
  std::set<std::string> left = names_in(folder.path());
  EXPECT_EQ(left.size(), 6u) << "the leftovers of b and c stay";
  const Unfinished other = new_unfinished_folder(folder / "c");
  remove_leftovers_in(folder.path());
  EXPECT_EQ(names_in(folder.path()),
            (std::set<std::string>{"a", "a.gptmoe-tmp-1", "a.gptmoe-tmp-x-1", "a.tmp-2024-1", other.path.filename()}));
}

TEST(Unfinished, ALiveWritersFileIsNotALeftover) {
  TemporaryFolder folder;
  AtomicFile live(folder / "a");
  live.write("live");
  const Unfinished live_folder = new_unfinished_folder(folder / "c");
  in_killed_process([&] {  // another process, which has its own number
    remove_leftovers_in(folder.path());
    write_text_file(folder / "a", "other");
  });
  EXPECT_TRUE(fs::exists(live_folder.path));
  EXPECT_EQ(read_text_file(folder / "a"), "other");
  live.commit();
  EXPECT_EQ(read_text_file(folder / "a"), "live");
}

TEST(Unfinished, WithoutLocksNothingIsRemovedAndFilesAreWritten) {
  TemporaryFolder folder;
  write_text_file(folder / "a.gptmoe-tmp-99999999-1", "perhaps of a live writer on another machine");
  const FailingCall none(FailingCall::flock, ENOLCK);
  write_text_file(folder / "a", "x");
  EXPECT_EQ(names_in(folder.path()), (std::set<std::string>{"a", "a.gptmoe-tmp-99999999-1"}));
}

TEST(Sync, AFolderThatCannotBeFlushedIsAFailure) {
  TemporaryFolder folder;
  {
    const FailingCall broken(FailingCall::fsync, EIO);
    EXPECT_EQ(message<Failure>([&] { sync_directory(folder.path()); }),
              folder.path().string() + ": cannot flush to disk: Input/output error");
    EXPECT_THROW(write_text_file(folder / "a", "x"), Failure);
  }
  const FailingCall unknown(FailingCall::fsync, EINVAL);
  EXPECT_NO_THROW(sync_directory(folder.path())) << "the system cannot flush folders";
  EXPECT_THROW(sync_directory(folder / "none"), Failure);
}

}  // namespace
}  // namespace gptmoe
