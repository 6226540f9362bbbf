#pragma once
// Holds a checkpoint while it is read, even if its run is training. A run removes its old checkpoints
// (checkpoint.keep), but not those that are held. If the run saves a held step again, the new checkpoint gets the name,
// and the held one gets a temporary name until it is released.
#include <filesystem>
#include <optional>
#include <string>

#include "base/descriptor.h"

namespace gptmoe {

// An open folder with a lock (flock) on it; movable. If the file system has no locks, the folder is open but not
// protected.
class HeldFolder {
 public:
  enum class Use { read, remove };
  // For `read`, waits while a run removes the folder. held() is false if the folder is gone() or cannot be opened or,
  // for `remove`, if a process is reading it.
  HeldFolder(const std::filesystem::path& folder, Use use);

  bool held() const { return static_cast<bool>(fd_); }
  bool gone() const { return gone_; }  // it does not exist any more

 private:
  Descriptor fd_;
  bool gone_ = false;
};

struct HeldCheckpoint {
  std::filesystem::path path;
  HeldFolder hold;
  std::string note = {};  // latest_note(), if the caller named a run and not a checkpoint
};

// Finds a checkpoint with resolve_checkpoint(), and holds it if this user has permission to open its folder. Tries
// again if the run removes the checkpoint before it is held. Throws the errors of resolve_checkpoint(), and UserError
// if too many tries fail.
HeldCheckpoint hold_checkpoint(const std::filesystem::path& path);
// Does the same with latest_checkpoint(); nullopt if the run has no checkpoint.
std::optional<HeldCheckpoint> hold_latest_checkpoint(const std::filesystem::path& run_dir);

}  // namespace gptmoe
