#include "huggingface/folder_in_progress.h"

#include <unistd.h>

#include "base/check.h"
#include "base/file.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// The absolute path, without a slash at the end. Links to existing folders are followed.
fs::path folder_path(const fs::path& out) {
  fs::path path = fs::weakly_canonical(fs::absolute(out));
  return path.has_filename() ? path : path.parent_path();
}

}  // namespace

FolderInProgress::FolderInProgress(const fs::path& out)
    : final_(folder_path(out)), path_(text(final_.string(), ".tmp-", getpid())) {
  fs::create_directories(final_.parent_path());
  if (!fs::create_directory(path_)) user_error(path_.string(), ": exists; remove it");
}

FolderInProgress::~FolderInProgress() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

void FolderInProgress::finish() const {
  sync_directory(path_);
  std::error_code error;
  fs::rename(path_, final_, error);  // replaces an empty folder, and no other
  if (error) user_error(final_.string(), ": cannot be written: ", error.message(), "; name another folder");
  sync_directory(final_.parent_path());
}

void require_free_folder(const fs::path& out) {
  std::error_code error;
  const fs::file_status status = fs::status(out, error);
  if (status.type() == fs::file_type::not_found) return;
  if (!fs::is_directory(status))
    user_error(out.string(), ": ", error ? error.message() : "is not a folder", "; name a new or empty folder");
  const fs::directory_iterator first(out, error);
  if (error) user_error(out.string(), ": cannot list: ", error.message(), "; name a new or empty folder");
  if (first != fs::directory_iterator())
    user_error(out.string(), ": holds ", first->path().filename().string(), "; name a new or empty folder");
}

}  // namespace gptmoe
