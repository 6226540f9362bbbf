#pragma once
#include <filesystem>
#include <optional>

#include "base/lock.h"
#include "base/made_folders.h"
#include "base/unfinished.h"

namespace gptmoe {

// Throws UserError if `out` exists and is not an empty folder, if it is a dangling link, or if the system cannot read
// it.
void require_free_folder(const std::filesystem::path& out);

// Makes a folder OUT that is either complete or absent. The constructor locks OUT and makes an unfinished folder beside
// it (base/unfinished.h); finish() renames that folder to OUT. OUT may exist as an empty folder. Throws UserError if
// OUT cannot be written or another process is writing it, Failure if the folder cannot be flushed to disk, and the
// errors of std::filesystem.
class FolderInProgress {
 public:
  explicit FolderInProgress(const std::filesystem::path& out);
  ~FolderInProgress();  // unless finish() succeeded, removes the folder and the parents that were made for it
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
