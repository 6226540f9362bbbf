#pragma once
// The folders of a run's checkpoints:
//   checkpoints/LATEST           the name of the folder to continue from
//   checkpoints/step_NNNNNNNN    a checkpoint; it is complete if it holds state.json, which is written last
// A checkpoint is written as step_NNNNNNNN.tmp, renamed, then named by LATEST: a crash at any moment leaves either the
// complete old state or the complete new one. If a step is saved again, its old folder is called step_NNNNNNNN.old
// until the new one is complete and nobody reads the old one.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace gptmoe {

// The functions that look into folders throw UserError, naming the path and the system's reason, if the system does not
// let them. They also throw for a link to nothing, which does not count as a run without checkpoints.

// The complete checkpoints of a run, oldest step first.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& run_dir);
// The checkpoint that LATEST names, or the one with the highest step if LATEST is missing or names no complete one.
std::optional<std::filesystem::path> latest_checkpoint(const std::filesystem::path& run_dir);
// One line that says that LATEST names a checkpoint although one of a later step is complete; empty if it does not.
std::string latest_note(const std::filesystem::path& run_dir);
// `path` itself if it is a checkpoint; the latest checkpoint if it is a run's folder; else throws UserError.
std::filesystem::path resolve_checkpoint(const std::filesystem::path& path);

// Whether the checkpoint is not there because its run is moving a new one into its place.
bool is_being_replaced(const std::filesystem::path& checkpoint_dir);

// What to do about damage in a checkpoint: "remove RUN/checkpoints/step_00000008 to use the earlier step_00000004".
// Reads earlier checkpoints whole, so that it names one that is intact. A checkpoint outside a run is an import or a
// copy.
std::string damage_remedy(const std::filesystem::path& checkpoint_dir);

// A checkpoint's folder while it is being written. Its functions throw filesystem_error and UserError.
class NewCheckpoint {
 public:
  // Makes RUN/checkpoints/step_NNNNNNNN.tmp, empty.
  NewCheckpoint(const std::filesystem::path& run_dir, int64_t step);
  // Removes the folder if it was not committed.
  ~NewCheckpoint();
  NewCheckpoint(const NewCheckpoint&) = delete;
  NewCheckpoint& operator=(const NewCheckpoint&) = delete;

  const std::filesystem::path& path() const { return unfinished_; }
  // Renames it to RUN/checkpoints/step_NNNNNNNN, in place of an older checkpoint of this step, and makes it the latest.
  // Its files must be on disk.
  void commit();

 private:
  std::filesystem::path final_, unfinished_;
};

// The following functions leave what is being read (checkpoint/held_checkpoint.h).

// Removes what crashes left: folders that were being written, replaced or removed. Call it when no other process writes
// to the run. What cannot be removed stays: the next call tries again.
void remove_unfinished_checkpoints(const std::filesystem::path& run_dir);
// Does the same, and removes all but the newest `keep` checkpoints up to `step` (0: keeps all). Checkpoints of later
// steps stay.
void remove_old_checkpoints(const std::filesystem::path& run_dir, int64_t step, int64_t keep);

}  // namespace gptmoe
