#pragma once
#include <filesystem>
#include <vector>

namespace gptmoe {

// Throws UserError if `out` holds anything, is not a folder or is a link to nothing, and if the system cannot look
// there.
void require_free_folder(const std::filesystem::path& out);

// The folders that make() made. The destructor removes those that are empty.
class MadeFolders {
 public:
  MadeFolders() = default;
  ~MadeFolders();
  MadeFolders(const MadeFolders&) = delete;
  MadeFolders& operator=(const MadeFolders&) = delete;

  // Makes the folder, an absolute path, and those above it. Throws UserError if one of them is something else.
  void make(const std::filesystem::path& folder);

 private:
  std::vector<std::filesystem::path> made_;
};

// A folder that is either complete or absent: it is made as OUT.tmp-PID and renamed to OUT, which may be an empty
// folder. Throws UserError if it cannot become OUT, and what std::filesystem throws.
class FolderInProgress {
 public:
  explicit FolderInProgress(const std::filesystem::path& out);
  ~FolderInProgress();  // removes it, and the folders above it that it made, unless it was finished
  FolderInProgress(const FolderInProgress&) = delete;
  FolderInProgress& operator=(const FolderInProgress&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void finish() const;

 private:
  std::filesystem::path final_, path_;
  MadeFolders parents_;
};

}  // namespace gptmoe
