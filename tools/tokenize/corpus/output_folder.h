#pragma once
// Where a command writes what it makes.
#include <filesystem>
#include <vector>

namespace gptmoe {

// A folder, made if need be. Those that were made here and are empty in the end go again.
class OutputFolder {
 public:
  // Throws UserError when it cannot be made, read or written to.
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
