#include "base/lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <atomic>
#include <optional>
#include <thread>

#include "base/check.h"
#include "base/failing_calls.h"
#include "base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

namespace gptmoe {
namespace {

TEST(FolderLock, IsSeenAndKeepsOthersOut) {
  TemporaryFolder folder;
  EXPECT_FALSE(folder_locked(folder.path()));
  std::optional<FolderLock> lock;
  lock.emplace(folder.path(), "works here; wait for it");
  EXPECT_TRUE(folder_locked(folder.path()));
  EXPECT_EQ(message<UserError>([&] { FolderLock(folder.path(), "works here; wait for it"); }),
            text(folder.path().string(), ": another process (", getpid(), ") works here; wait for it"));
  lock.reset();
  EXPECT_FALSE(folder_locked(folder.path()));
  EXPECT_THROW(folder_locked(folder / "none"), UserError);
}

// Watching a folder must not make a trainer believe that another one is there.
TEST(FolderLock, IsGivenWhileOthersAsk) {
  TemporaryFolder folder;
  std::atomic<bool> done = false;
  std::thread asks([&] {
    while (!done) folder_locked(folder.path());
  });
  for (int i = 0; i < 300; ++i) EXPECT_NO_THROW(FolderLock(folder.path(), "works here"));
  done = true;
  asks.join();
}

TEST(FolderLock, WhatCannotBeLockedIsNotHeldByAnother) {
  TemporaryFolder folder;
  const auto refusal = [&] { return message<UserError>([&] { FolderLock(folder.path(), "works here"); }); };
  for (const auto& [error, words] : {std::pair(ENOLCK, "No locks available"), std::pair(ENOTSUP, "not supported")}) {
    const FailingCall none(FailingCall::flock, error);
    EXPECT_EQ(refusal().find(folder.path().string() + ": cannot be locked: "), 0u) << refusal();
    EXPECT_NE(refusal().find(words), std::string::npos) << refusal();
    EXPECT_FALSE(folder_locked(folder.path()));
  }
  EXPECT_EQ(message<UserError>([&] { FolderLock(folder / "none", "works here"); }),
            (folder / "none").string() + ": cannot open: No such file or directory");
}

TEST(FolderLock, ClearsWhatAKilledWriterLeft) {
  TemporaryFolder folder;
  write_text_file(folder / "x", "");
  std::filesystem::rename(folder / "x", folder / "config.json.gptmoe-tmp-99999999-1");
  const FolderLock lock(folder.path(), "works here");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(OutputLock, TheLoserIsToldWhoHoldsIt) {
  TemporaryFolder folder;
  const std::filesystem::path path = folder / "a.json";
  std::optional<OutputLock> lock;
  lock.emplace(path, "writes it");
  const std::string line = message<UserError>([&] { OutputLock(path, "writes it; name another file"); });
  EXPECT_EQ(line.find(text(path.string(), ": another process (", getpid(), " on ")), 0u) << line;
  EXPECT_NE(line.find(") writes it; name another file"), std::string::npos) << line;
  lock.reset();
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "no lock is left";
  EXPECT_THROW(OutputLock(folder / "none/a.json", "writes it"), UserError);
}

TEST(OutputLock, OfAKilledProcessIsTakenOver) {
  TemporaryFolder folder;
  const pid_t child = fork();
  if (child == 0) {
    new OutputLock(folder / "a", "writes it");
    kill(getpid(), SIGKILL);
  }
  waitpid(child, nullptr, 0);
  ASSERT_TRUE(std::filesystem::exists(folder / "a.gptmoe-lock"));
  { const OutputLock lock(folder / "a", "writes it"); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(OutputLock, IsHeldByOneOfManyAtATime) {
  TemporaryFolder folder;
  std::atomic<int> holders = 0, most = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        const OutputLock lock(folder / "a", "writes it", std::chrono::seconds(60));
        const int now = ++holders;
        if (now > most) most = now;
        std::this_thread::yield();
        --holders;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(most, 1);
}

TEST(OutputLock, WithoutLocksNobodyIsKeptOut) {
  TemporaryFolder folder;
  const FailingCall none(FailingCall::flock, ENOSYS);
  const OutputLock lock(folder / "a", "writes it"), other(folder / "a", "writes it");
}

TEST(ReadTextFile, ReadsFilesThatDoNotKnowTheirSize) {
  EXPECT_TRUE(read_text_file("/proc/self/status").starts_with("Name:"));
}

}  // namespace
}  // namespace gptmoe
