#include "base/made_folders.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/check.h"
#include "base/file.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// Keeps an empty folder that another process has locked, since that process may be about to write there.
void remove_if_unused(const fs::path& folder) {
  const Descriptor fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd || (flock(fd.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)) return;
  rmdir(folder.c_str());  // fails if the folder is not empty
}

// Whether nothing is at the path. False if the system cannot tell; make() then reports the reason.
bool is_missing(const fs::path& path) {
  std::error_code error;
  return !path.empty() && fs::status(path, error).type() == fs::file_type::not_found;
}

}  // namespace

MadeFolders::~MadeFolders() { std::for_each(made_.rbegin(), made_.rend(), remove_if_unused); }

void MadeFolders::make(const fs::path& folder, const std::string& remedy) {
  std::vector<fs::path> missing;  // the innermost first
  for (fs::path path = folder; is_missing(path); path = path.parent_path()) missing.push_back(path);
  std::error_code error;
  for (auto path = missing.rbegin(); path != missing.rend() && !error; ++path)
    if (fs::create_directory(*path, error)) made_.push_back(*path);
  if (!error && !fs::is_directory(folder, error) && !error) error = std::make_error_code(std::errc::not_a_directory);
  std::error_code no_link;
  if (error && fs::is_symlink(fs::symlink_status(folder, no_link))) with_remedy(remedy, [&] { file_type_at(folder); });
  if (error) user_error(folder.string(), ": cannot create this folder: ", error.message(), "; ", remedy);
  if (access(folder.c_str(), W_OK | X_OK) != 0)
    user_error(folder.string(), ": cannot write there: ", std::strerror(errno), "; ", remedy);
}

}  // namespace gptmoe
