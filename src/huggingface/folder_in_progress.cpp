#include "huggingface/folder_in_progress.h"

#include <unistd.h>

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

MadeFolders::~MadeFolders() {
  std::error_code ignored;  // a folder that is not empty stays
  for (auto folder = made_.rbegin(); folder != made_.rend(); ++folder) fs::remove(*folder, ignored);
}

void MadeFolders::make(const fs::path& folder) {
  const fs::file_type type = file_type_at(folder);
  if (type == fs::file_type::directory) return;
  if (type != fs::file_type::not_found) user_error(folder.string(), ": is not a folder; name another folder");
  make(folder.parent_path());
  if (fs::create_directory(folder)) made_.push_back(folder);
}

FolderInProgress::FolderInProgress(const fs::path& out)
    : final_(folder_path(out)), path_(text(final_.string(), ".tmp-", getpid())) {
  parents_.make(final_.parent_path());
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
  with_remedy("name a new or empty folder", [&] {
    const fs::file_type type = file_type_at(out);
    if (type == fs::file_type::not_found) return;
    if (type != fs::file_type::directory) user_error(out.string(), ": is not a folder");
    if (const std::vector<fs::path> entries = folder_entries(out); !entries.empty())
      user_error(out.string(), ": holds ", entries[0].filename().string());
  });
}

}  // namespace gptmoe
