#include "checkpoint/held_checkpoint.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/unfinished.h"
#include "checkpoint/checkpoint_folders.h"

namespace gptmoe {
namespace {

constexpr int kAttempts = 100;  // saving a checkpoint takes far longer than holding one

// Holds the checkpoint that `find` finds.
template <typename Find>
std::optional<HeldCheckpoint> hold_found(const std::filesystem::path& path, Find find) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::optional<std::filesystem::path> checkpoint = find();
    if (!checkpoint) return std::nullopt;
    HeldFolder hold(*checkpoint, HeldFolder::Use::read);
    if (!hold.gone()) return HeldCheckpoint{*checkpoint, std::move(hold)};
  }
  user_error(path.string(), ": its run removes checkpoints faster than they can be read; raise checkpoint.keep");
}

}  // namespace

HeldFolder::HeldFolder(const std::filesystem::path& folder, Use use) {
  Descriptor fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    gone_ = errno == ENOENT || errno == ENOTDIR;
    return;
  }
  const int lock = use == Use::read ? LOCK_SH : LOCK_EX | LOCK_NB;
  int failed = 0;
  do failed = flock(fd.get(), lock);
  while (failed && errno == EINTR);
  const bool in_use = failed && errno == EWOULDBLOCK;  // any other error: the file system has no locks
  gone_ = !in_use && !is_at(fd.get(), folder);
  if (!in_use && !gone_) fd_ = std::move(fd);
}

HeldCheckpoint hold_checkpoint(const std::filesystem::path& path) {
  HeldCheckpoint held = *hold_found(path, [&] { return std::optional(resolve_checkpoint(path)); });
  if (held.path != path) held.note = latest_note(path);
  return held;
}

std::optional<HeldCheckpoint> hold_latest_checkpoint(const std::filesystem::path& run_dir) {
  return hold_found(run_dir, [&] { return latest_checkpoint(run_dir); });
}

}  // namespace gptmoe
