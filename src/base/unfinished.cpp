#include "base/unfinished.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "base/check.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = ".gptmoe-tmp-";

// The name of the path that "NAME.gptmoe-tmp-PID-NUMBER" is for; empty for any other name.
std::string_view target_of(std::string_view name) {
  const size_t mark = name.rfind(kMark);
  if (mark == std::string_view::npos) return {};
  const std::string_view rest = name.substr(mark + kMark.size());
  const size_t dash = rest.find('-');
  const auto digits = [](std::string_view part) {
    return !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
  };
  const bool ours = dash != std::string_view::npos && digits(rest.substr(0, dash)) && digits(rest.substr(dash + 1));
  return ours ? name.substr(0, mark) : std::string_view();
}

// Removes a file or folder unless its writer is running. If the file system has no locks, this removes nothing, because
// a leftover then looks like a file that is being written.
void remove_if_left(const fs::path& path) {
  Descriptor fd(open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd && errno == EISDIR) fd.reset(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC));
  struct stat status {};
  if (!fd || fstat(fd.get(), &status) != 0 || !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode))) return;
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0 || !is_at(fd.get(), path)) return;
  std::error_code ignored;  // a leftover harms nobody, and the next writer tries again
  fs::remove_all(path, ignored);
}

// Removes what killed writers left in the folder for the path named `of`, or for all paths if `of` is empty.
void remove_leftovers(const fs::path& folder, const std::string& of) {
  std::error_code ignored;  // as above; code that needs the folder's content reports the error
  std::vector<fs::path> left;
  for (fs::directory_iterator it(folder, ignored), end; !ignored && it != end; it.increment(ignored))
    if (const std::string name = it->path().filename().string(); is_unfinished(name))
      if (of.empty() || target_of(name) == of) left.push_back(it->path());
  for (const fs::path& path : left) remove_if_left(path);
}

// Makes a file or folder that is to be renamed to `path`. make(name) makes it and returns its descriptor, or -1 with
// errno.
template <typename Make>
Unfinished new_unfinished(const fs::path& path, Make make) {
  remove_leftovers(path.has_parent_path() ? path.parent_path() : ".", path.filename().string());
  for (int number = 1; number < 100000; ++number) {
    Unfinished made{text(path.string(), kMark, getpid(), "-", number), Descriptor()};
    made.fd.reset(make(made.path));
    if (!made.fd && errno == EEXIST) continue;  // another writer's, or not ours
    if (!made.fd) break;
    // Another process may take the new file for a leftover before it is locked.
    if (flock(made.fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) continue;
    errno = 0;
    if (is_at(made.fd.get(), made.path)) return made;
    if (const int reason = errno; reason != 0 && reason != ENOENT) {  // the system cannot tell
      std::error_code ignored;                                        // the reason is reported
      fs::remove_all(made.path, ignored);
      errno = reason;
      break;
    }
  }
  throw Failure(text(path.string(), ": cannot create: ", std::strerror(errno)));
}

}  // namespace

Unfinished new_unfinished_file(const fs::path& path) {
  return new_unfinished(path, [](const fs::path& name) {
    return open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  });
}

Unfinished new_unfinished_folder(const fs::path& path) {
  return new_unfinished(path, [](const fs::path& name) {
    return mkdir(name.c_str(), 0777) == 0 ? open(name.c_str(), O_RDONLY | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC) : -1;
  });
}

bool is_at(int fd, const fs::path& path) {
  struct stat opened {};
  struct stat named {};
  return fstat(fd, &opened) == 0 && stat(path.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
}

bool is_unfinished(const std::string& name) { return !target_of(name).empty(); }

void remove_leftovers_in(const fs::path& folder) { remove_leftovers(folder, ""); }

}  // namespace gptmoe
