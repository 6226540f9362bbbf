#include "checkpoint/held_checkpoint.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

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
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    gone_ = errno == ENOENT || errno == ENOTDIR;
    return;
  }
  const int lock = use == Use::read ? LOCK_SH : LOCK_EX | LOCK_NB;
  int failed = 0;
  do failed = flock(fd, lock);
  while (failed && errno == EINTR);
  const bool in_use = failed && errno == EWOULDBLOCK;  // any other error: there are no locks here
  gone_ = !in_use && !is_at(fd, folder);
  if (in_use || gone_)
    close(fd);
  else
    fd_ = fd;
}

HeldFolder::~HeldFolder() {
  if (fd_ >= 0) close(fd_);
}

HeldFolder::HeldFolder(HeldFolder&& other) noexcept : fd_(std::exchange(other.fd_, -1)), gone_(other.gone_) {}

HeldCheckpoint hold_checkpoint(const std::filesystem::path& path) {
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const std::filesystem::path checkpoint = resolve_checkpoint(path);
    HeldFolder hold(checkpoint, HeldFolder::Use::read);
    if (!hold.gone()) return {checkpoint, std::move(hold)};
  }
  user_error(path.string(), ": its run removes checkpoints faster than they can be read; raise checkpoint.keep");
}

}  // namespace gptmoe
