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

constexpr int kAttempts = 100;  // a run saves a checkpoint in far more time than it takes to hold one

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
  const bool in_use = failed && errno == EWOULDBLOCK;  // any other error: there are no locks here
  gone_ = !in_use && !is_at(fd.get(), folder);
  if (!in_use && !gone_) fd_ = std::move(fd);
}

HeldCheckpoint hold_checkpoint(const std::filesystem::path& path) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::filesystem::path checkpoint = resolve_checkpoint(path);
    HeldFolder hold(checkpoint, HeldFolder::Use::read);
    if (!hold.gone()) return {checkpoint, std::move(hold), checkpoint == path ? "" : latest_note(path)};
  }
  user_error(path.string(), ": its run removes checkpoints faster than they can be read; raise checkpoint.keep");
}

}  // namespace gptmoe
