#pragma once
// The folder that a command writes to.
#include <filesystem>
#include <vector>

namespace gptmoe {

// Creates the folder if needed. Folders created here that are still empty at the end are removed.
class OutputFolder {
 public:
  // Throws UserError if it cannot be created, read or written.
  explicit OutputFolder(const std::filesystem::path& path);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  std::vector<std::filesystem::path> made_;  // the innermost first
};

}  // namespace gptmoe
