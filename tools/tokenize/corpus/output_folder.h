#pragma once
// The folder that a command writes to.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/lock.h"

namespace gptmoe {

// Creates the folder if needed. Folders created here that are still empty at the end are removed.
class OutputFolder {
 public:
  // Throws UserError if it cannot be created, read or written. With `doing`, also locks it (FolderLock) until the empty
  // folders are removed.
  explicit OutputFolder(const std::filesystem::path& path, const std::string& doing = "");
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::vector<std::filesystem::path> made_;  // the innermost first
  std::optional<FolderLock> lock_;
};

}  // namespace gptmoe
