#include "huggingface/folder_in_progress.h"

#include "base/check.h"
#include "base/folder.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// The absolute path, without a slash at the end. Links to existing folders are followed.
fs::path folder_path(const fs::path& out) {
  fs::path path = fs::weakly_canonical(fs::absolute(out));
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

FolderInProgress::FolderInProgress(const fs::path& out) : final_(folder_path(out)) {
  parents_.make(final_.parent_path(), "name another folder");
  lock_.emplace(final_, "is writing this folder; wait for it or name another folder");
  require_free_folder(final_);  // another process may have written it before the lock was taken
  unfinished_ = new_unfinished_folder(final_);
}

FolderInProgress::~FolderInProgress() {
  std::error_code ignored;  // the next process that writes this folder removes it
  fs::remove_all(path(), ignored);
}

void FolderInProgress::finish() const {
  sync_directory(path());
  std::error_code error;
  fs::rename(path(), final_, error);  // replaces an empty folder, and no other
  if (error) user_error(final_.string(), ": cannot be written: ", error.message(), "; name another folder");
  sync_directory(final_.parent_path());
}

void require_free_folder(const fs::path& out) {
  with_remedy("name a new or empty folder", [&] {
    const fs::file_type type = file_type_at(out);
    if (type == fs::file_type::not_found) return;
    if (type != fs::file_type::directory) user_error(out.string(), ": is not a folder");
    if (const std::vector<fs::path> entries = folder_entries(out); !entries.empty())
      user_error(out.string(), ": holds ", entries[0].filename().string());
  });
}

}  // namespace gptmoe
