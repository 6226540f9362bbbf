#include "train/unstarted_run.h"

#include <algorithm>

#include "base/check.h"
#include "base/folder.h"
#include "base/read_json.h"
#include "records/run_folder.h"
#include "train/run_directory.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// Throws UserError if the folder holds a run, parts of a run, or a config.json that is not a run's.
void require_no_run(const fs::path& run_dir) {
  if (holds_run(run_dir))
    user_error(run_dir.string(), ": holds a run already; add --resume to continue it, or choose another --out");
  if (anything_at(run_dir / kRunConfigFile))
    user_error((run_dir / kRunConfigFile).string(), ": does not belong to a run; choose another --out");
  require_no_lost_run(run_dir);
}

constexpr const char* kUnfinished = "branch.unfinished";  // lists the entries that the folder had before

// Removes the files that a killed branch left behind. Throws the errors of lock_run(), and Failure if a file cannot be
// removed.
void remove_unfinished(const fs::path& run_dir) {
  const fs::path mark = run_dir / kUnfinished;
  if (!anything_at(mark)) return;
  const auto lock = lock_run(run_dir);
  const auto before = read_json(mark);
  if (!before.is_array())
    user_error(mark.string(),
               ": is damaged; remove it and what the branch left in this folder, or choose another --out");
  for (const fs::path& entry : folder_entries(run_dir)) {
    if (std::find(before.begin(), before.end(), entry.filename().string()) != before.end() || entry == mark) continue;
    std::error_code error;
    fs::remove_all(entry, error);
    if (error) throw Failure(text(entry.string(), ": cannot remove: ", error.message()));
  }
  fs::remove(mark);
}

}  // namespace

std::unique_ptr<FolderLock> lock_run(const fs::path& run_dir) {
  return std::make_unique<FolderLock>(run_dir,
                                      "is training in this run directory; wait for it or choose another --out");
}

void remove_branch_mark(const fs::path& run_dir) {
  std::error_code ignored;  // the mark has no effect beside config.json
  fs::remove(run_dir / kUnfinished, ignored);
}

void UnstartedRun::claim() {
  if (!holds_run(run_dir_)) remove_unfinished(run_dir_);
  require_no_run(run_dir_);
  made_.make(run_dir_, "choose another --out");
  std::unique_ptr<FolderLock> lock = lock_run(run_dir_);
  require_no_run(run_dir_);  // again: another process may have begun a run before this one got the lock
  before_ = folder_entries(run_dir_);
  lock_ = std::move(lock);
}

void UnstartedRun::mark_unfinished(bool unfinished) {
  if (!unfinished) return remove_branch_mark(run_dir_);
  nlohmann::json names = nlohmann::json::array();
  for (const fs::path& entry : before_) names.push_back(entry.filename().string());
  write_text_file(run_dir_ / kUnfinished, names.dump() + "\n");
}

std::unique_ptr<FolderLock> UnstartedRun::begin() { return std::move(lock_); }

UnstartedRun::~UnstartedRun() {
  if (!lock_) return;
  try {
    std::error_code ignored;  // the reason why the run did not begin is reported
    for (const fs::path& entry : folder_entries(run_dir_))
      if (std::find(before_.begin(), before_.end(), entry) == before_.end()) fs::remove_all(entry, ignored);
  } catch (const UserError&) {  // as above
  }
}

}  // namespace gptmoe
