#pragma once
// A checkpoint that is read while its run trains. A run removes old checkpoints (checkpoint.keep), but not one that is
// held. If the run saves the step of a held checkpoint again, the new one takes its name, and the held one stays under
// another name until it is released.
#include <filesystem>
#include <optional>
#include <string>

#include "base/descriptor.h"

namespace gptmoe {

// An open folder with a lock (flock) on it; movable. A file system without locks cannot hold anything: then the folder
// is just open.
class HeldFolder {
 public:
  enum class Use { read, remove };
  // Waits while a run removes the folder. Not held() if the folder is gone() or cannot be opened or, for `remove`, if a
  // process is reading it.
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
  std::string note = {};  // latest_note(), if the latest checkpoint of a run was asked for
};

// Calls resolve_checkpoint() and holds the checkpoint that it found, if this user may list that folder. If the run
// removes that one before it is held, the call is repeated. Throws as resolve_checkpoint() does.
HeldCheckpoint hold_checkpoint(const std::filesystem::path& path);
// Does the same with latest_checkpoint(); none if the run has no checkpoint.
std::optional<HeldCheckpoint> hold_latest_checkpoint(const std::filesystem::path& run_dir);

}  // namespace gptmoe
