#include "base/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/check.h"
#include "base/unfinished.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr auto kBetweenTries = std::chrono::milliseconds(5);

std::string reason() { return std::strerror(errno); }

// "another process (4711)": the holder of a flock() on this file, with its number if the system knows it. The
// system does not know processes of other machines.
std::string holder_of(int fd) {
  struct stat status {};
  if (fstat(fd, &status) != 0) return "another process";
  char file[64];
  std::snprintf(file, sizeof file, "%02x:%02x:%llu", major(status.st_dev), minor(status.st_dev),
                static_cast<unsigned long long>(status.st_ino));
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    std::istringstream words(line);
    std::string number, kind, mode, access, pid, where;
    words >> number >> kind >> mode >> access >> pid >> where;
    if (kind == "FLOCK" && where == file && std::atoll(pid.c_str()) > 0) return text("another process (", pid, ")");
  }
  return "another process";
}

Descriptor open_folder(const fs::path& folder) {
  Descriptor fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) user_error(folder.string(), ": cannot open: ", reason());
  return fd;
}

}  // namespace

FolderLock::FolderLock(const fs::path& folder, const std::string& doing) {
  const auto until = Clock::now() + 20 * kBetweenTries;
  while (true) {
    fd_ = open_folder(folder);
    if (flock(fd_.get(), LOCK_EX | LOCK_NB) == 0) {
      if (is_at(fd_.get(), folder)) break;  // another process may have removed it meanwhile
    } else if (errno != EWOULDBLOCK && errno != EINTR) {
      user_error(folder.string(), ": cannot be locked: ", reason(),
                 "; without a lock two processes could write here at once: choose a folder on another file system");
    }
    if (Clock::now() > until) user_error(folder.string(), ": ", holder_of(fd_.get()), " ", doing);
    std::this_thread::sleep_for(kBetweenTries);
  }
  remove_leftovers_in(folder);
}

bool folder_locked(const fs::path& folder) {
  const Descriptor fd = open_folder(folder);
  // If the file system has no locks, flock() fails for another reason, and no FolderLock exists.
  return flock(fd.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

OutputLock::OutputLock(const fs::path& path, const std::string& doing, std::chrono::milliseconds patience)
    : path_(path.string() + ".gptmoe-lock") {
  const auto until = Clock::now() + patience;
  while (true) {
    file_.reset(open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!file_)
      user_error(path.string(), ": cannot lock it with a file ", path_.filename().string(), " beside it: ", reason(),
                 "; make the folder writable, or write elsewhere");
    if (flock(file_.get(), LOCK_EX | LOCK_NB) == 0) {
      if (is_at(file_.get(), path_)) break;  // the last holder removes the file before it releases the lock
    } else if (errno != EWOULDBLOCK && errno != EINTR) {
      break;
    } else if (Clock::now() > until) {
      std::string holder;
      std::getline(std::ifstream(path_), holder);
      user_error(path.string(), ": another process ", holder.empty() ? "" : text("(", holder, ") "), doing);
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
  char host[65] = "";
  // Only a message uses the names of process and host, so these calls may fail.
  if (gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  const std::string holder = text(getpid(), *host ? " on " : "", host, "\n");
  if (ftruncate(file_.get(), 0) != 0 || pwrite(file_.get(), holder.data(), holder.size(), 0) < 0) return;
}

OutputLock::~OutputLock() {
  unlink(path_.c_str());  // if this fails, the next process takes the file over
}

}  // namespace gptmoe
