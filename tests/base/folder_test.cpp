#include "base/folder.h"

#include <gtest/gtest.h>

#include "base/check.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

namespace gptmoe {
namespace {

TEST(Folder, HasNoEntriesOnlyIfNothingIsThere) {
  TemporaryFolder folder;
  EXPECT_TRUE(folder_entries(folder / "nowhere").empty());
  EXPECT_FALSE(anything_at(folder / "nowhere"));
  write_text_file(folder / "a", "");
  EXPECT_EQ(folder_entries(folder.path()), (std::vector<std::filesystem::path>{folder / "a"}));
  std::filesystem::create_symlink("loop", folder / "loop");
  const std::string why = (folder / "loop").string() + ": cannot access it: ";
  EXPECT_TRUE(message<UserError>([&] { folder_entries(folder / "loop"); }).starts_with(why));
  EXPECT_TRUE(message<UserError>([&] { anything_at(folder / "loop"); }).starts_with(why));
}

}  // namespace
}  // namespace gptmoe
