#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace gptmoe {

// The folders that were made for an output. The destructor removes those that are empty, unless a process has locked
// them (base/lock.h), so release your own lock first. A folder that cannot be removed stays.
class MadeFolders {
 public:
  MadeFolders() = default;
  MadeFolders(const std::filesystem::path& folder, const std::string& remedy) { make(folder, remedy); }
  ~MadeFolders();
  MadeFolders(const MadeFolders&) = delete;
  MadeFolders& operator=(const MadeFolders&) = delete;

  // Makes the folder, and the folders above it, where they do not exist. Throws UserError "FOLDER: REASON; REMEDY" if
  // it cannot be made, or if this user may not write there.
  void make(const std::filesystem::path& folder, const std::string& remedy);

 private:
  std::vector<std::filesystem::path> made_;  // the outermost first
};

}  // namespace gptmoe
