#pragma once
#include <filesystem>
#include <memory>
#include <vector>

#include "base/lock.h"
#include "base/made_folders.h"

namespace gptmoe {

// Locks the folder of a run. Throws UserError if another process trains there.
std::unique_ptr<FolderLock> lock_run(const std::filesystem::path& run_dir);

// Removes the mark of an unfinished branch from a folder that holds a run. A branch that is killed right after its
// config.json was written leaves this mark. The caller holds the folder's lock. Ignores a mark that it cannot remove.
void remove_branch_mark(const std::filesystem::path& run_dir);

// The folder of a new run until its training begins. If the run fails before its first step, removes what it has
// written: its new entries in the folder, and the folders that were made for it.
class UnstartedRun {
 public:
  // Does not touch the folder yet.
  explicit UnstartedRun(std::filesystem::path run_dir) : run_dir_(std::move(run_dir)) {}
  // Ignores what it cannot remove.
  ~UnstartedRun();
  UnstartedRun(const UnstartedRun&) = delete;
  UnstartedRun& operator=(const UnstartedRun&) = delete;

  const std::filesystem::path& dir() const { return run_dir_; }
  // Makes the folder if it is not there, and locks it; removes what a killed branch left in it. If several processes
  // start a run there at once, one continues. From now on new entries of the folder belong to this run. Throws
  // UserError if the folder cannot be made or written, if another process trains there, or if it holds a run, parts of
  // one without its config.json, or anything else that has a config.json (a checkpoint, an exported model).
  void claim();
  // For a run that is written in parts, config.json last. Call it with true between claim() and the first part, and
  // with false after config.json: if the program is killed in between, the next claim() removes the parts.
  void mark_unfinished(bool unfinished);
  // From now on, the run keeps its files even if it fails. Returns the lock of its folder.
  std::unique_ptr<FolderLock> begin();

 private:
  std::filesystem::path run_dir_;
  MadeFolders made_;
  std::vector<std::filesystem::path> before_;
  std::unique_ptr<FolderLock> lock_;  // null: this run owns nothing here
};

}  // namespace gptmoe
