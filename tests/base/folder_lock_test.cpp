#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>

#include "base/check.h"
#include "base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

namespace gptmoe {
namespace {

TEST(FolderLock, IsSeenAndKeepsOthersOut) {
  TemporaryFolder folder;
  EXPECT_FALSE(folder_locked(folder.path()));
  std::optional<FolderLock> lock;
  lock.emplace(folder.path(), "taken");
  EXPECT_TRUE(folder_locked(folder.path()));
  EXPECT_EQ(message<UserError>([&] { FolderLock(folder.path(), "taken"); }), folder.path().string() + ": taken");
  lock.reset();
  EXPECT_FALSE(folder_locked(folder.path()));
  EXPECT_THROW(folder_locked(folder / "none"), UserError);
}

// Watching a folder must not make a trainer believe that another trainer uses it.
TEST(FolderLock, IsGivenWhileOthersAsk) {
  TemporaryFolder folder;
  std::atomic<bool> done = false;
  std::thread asks([&] {
    while (!done) folder_locked(folder.path());
  });
  for (int i = 0; i < 300; ++i) EXPECT_NO_THROW(FolderLock(folder.path(), "taken"));
  done = true;
  asks.join();
}

TEST(ReadTextFile, ReadsFilesThatDoNotKnowTheirSize) {
  EXPECT_TRUE(read_text_file("/proc/self/status").starts_with("Name:"));
}

}  // namespace
}  // namespace gptmoe
