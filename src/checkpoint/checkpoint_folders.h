#pragma once
// The folders of a run's checkpoints:
//   checkpoints/LATEST           the name of the folder to continue from
//   checkpoints/step_NNNNNNNN    a checkpoint; it is complete if it holds state.json, which is written last
// A checkpoint is written as step_NNNNNNNN.tmp and renamed; then its name is written to LATEST. So a crash at any
// moment leaves either the complete old state or the complete new one. If a step is saved again, its old folder is
// called step_NNNNNNNN.old until the new one is complete and nobody reads the old one.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace gptmoe {

// The functions that read folders throw UserError, naming the path and the system's reason, if a folder cannot be read.
// They also throw it for a dangling link, which does not count as a run without checkpoints.

// The complete checkpoints of a run, oldest step first.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& run_dir);
// The checkpoint that LATEST names, or the one with the highest step if LATEST is missing or does not name a complete
// checkpoint; nullopt if there is none.
std::optional<std::filesystem::path> latest_checkpoint(const std::filesystem::path& run_dir);
// If a complete checkpoint has a later step than the one that LATEST names, one line that says so; otherwise empty.
std::string latest_note(const std::filesystem::path& run_dir);
// `path` itself if it is a checkpoint; the latest checkpoint if it is a run's folder; else throws UserError.
std::filesystem::path resolve_checkpoint(const std::filesystem::path& path);

// Whether the checkpoint is missing because its run is replacing it with a new one.
bool is_being_replaced(const std::filesystem::path& checkpoint_dir);

// The remedy for a damaged checkpoint: "remove RUN/checkpoints/step_00000008 to use the earlier step_00000004". Reads
// the earlier checkpoints in full to find one that is intact. For a checkpoint outside of a run, the remedy is to
// import or copy it again.
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
  // Renames the folder to RUN/checkpoints/step_NNNNNNNN, replaces an older checkpoint of this step, and makes the new
  // one the latest. The files must have been flushed to disk.
  void commit();

 private:
  std::filesystem::path final_, unfinished_;
};

// The following functions keep folders that a process is reading (checkpoint/held_checkpoint.h).

// Removes folders that were being written, replaced or removed when a process crashed. Call it when no other process
// writes to the run. A folder that cannot be removed stays, and the next call tries again.
void remove_unfinished_checkpoints(const std::filesystem::path& run_dir);
// Calls remove_unfinished_checkpoints(), then removes all but the newest `keep` checkpoints up to `step` (0: keeps
// all). Checkpoints of later steps stay.
void remove_old_checkpoints(const std::filesystem::path& run_dir, int64_t step, int64_t keep);

}  // namespace gptmoe
