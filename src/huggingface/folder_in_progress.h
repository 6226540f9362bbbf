#pragma once
#include <filesystem>
#include <optional>
#include <vector>

#include "base/lock.h"
#include "base/unfinished.h"

namespace gptmoe {

// Throws UserError if `out` holds anything, is not a folder or is a link to nothing, and if the system cannot look
// there.
void require_free_folder(const std::filesystem::path& out);

// The folders that make() made. The destructor removes the empty ones.
class MadeFolders {
 public:
  MadeFolders() = default;
  ~MadeFolders();
  MadeFolders(const MadeFolders&) = delete;
  MadeFolders& operator=(const MadeFolders&) = delete;

  // Makes the folder, an absolute path, and those above it. Throws UserError if one of them is something else or cannot
  // be made.
  void make(const std::filesystem::path& folder);

 private:
  std::vector<std::filesystem::path> made_;
};

// A folder that is either complete or absent: it is made beside OUT (base/unfinished.h), which is locked during that
// time, and renamed to OUT, which may be an empty folder. Throws UserError if it cannot become OUT or another process
// is writing it, Failure if it cannot be flushed to disk, and what std::filesystem throws.
class FolderInProgress {
 public:
  explicit FolderInProgress(const std::filesystem::path& out);
  ~FolderInProgress();  // removes it, and the folders above it that it made, unless it was finished
  FolderInProgress(const FolderInProgress&) = delete;
  FolderInProgress& operator=(const FolderInProgress&) = delete;

  const std::filesystem::path& path() const { return unfinished_->path; }
  void finish() const;

 private:
  std::filesystem::path final_;
  MadeFolders parents_;
  std::optional<OutputLock> lock_;
  std::optional<Unfinished> unfinished_;
};

}  // namespace gptmoe
