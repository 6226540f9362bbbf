#include "base/made_folders.h"

#include <gtest/gtest.h>

#include <optional>

#include "base/check.h"
#include "base/file.h"
#include "base/lock.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

TEST(MadeFolders, RemovesOnlyWhatItMadeAndWhatIsEmpty) {
  TemporaryFolder folder;
  fs::create_directory(folder / "mine");
  {
    MadeFolders made(folder / "mine", "");
    made.make(folder / "mine/a/b/", "");
    made.make(folder / "c/full", "");
    made.make(folder / "c/empty", "");
    write_text_file(folder / "c/full/file", "");
    EXPECT_TRUE(fs::is_directory(folder / "mine/a/b"));
  }
  EXPECT_TRUE(fs::is_empty(folder / "mine"));
  EXPECT_TRUE(fs::exists(folder / "c/full/file"));
  EXPECT_FALSE(fs::exists(folder / "c/empty"));
}

TEST(MadeFolders, LeavesAFolderThatAnotherProcessHasLocked) {
  TemporaryFolder folder;
  std::optional<FolderLock> other;
  {
    const MadeFolders made(folder / "a/b", "");
    other.emplace(folder / "a/b", "");
  }
  EXPECT_TRUE(fs::exists(folder / "a/b"));
}

TEST(MadeFolders, SaysWhyAFolderCannotBeMade) {
  TemporaryFolder folder;
  write_text_file(folder / "file", "");
  fs::create_symlink("nowhere", folder / "link");
  for (const char* path : {"file", "file/below"})
    EXPECT_EQ(message<UserError>([&] { MadeFolders(folder / path, "name another"); }),
              (folder / path).string() + ": cannot create this folder: Not a directory; name another");
  EXPECT_EQ(
      message<UserError>([&] { MadeFolders(folder / "link", "name another"); }),
      (folder / "link").string() + ": cannot access it: it is a link to nowhere, which does not exist; name another");
  EXPECT_TRUE(message<UserError>([&] { MadeFolders("", "name another"); }).ends_with("; name another"));
}

}  // namespace
}  // namespace gptmoe
