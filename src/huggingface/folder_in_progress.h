#pragma once
#include <filesystem>

namespace gptmoe {

// Throws UserError if `out` holds anything or is not a folder.
void require_free_folder(const std::filesystem::path& out);

// A folder that is complete or not there: it is made as OUT.tmp-PID and renamed to OUT, which may be an empty folder.
// Throws UserError if it cannot become OUT, and what std::filesystem throws.
class FolderInProgress {
 public:
  explicit FolderInProgress(const std::filesystem::path& out);
  ~FolderInProgress();  // removes it unless it was finished
  FolderInProgress(const FolderInProgress&) = delete;
  FolderInProgress& operator=(const FolderInProgress&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void finish() const;

 private:
  std::filesystem::path final_, path_;
};

}  // namespace gptmoe
