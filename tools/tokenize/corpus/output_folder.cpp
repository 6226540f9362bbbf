#include "corpus/output_folder.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/check.h"

namespace gptmoe {

namespace fs = std::filesystem;

OutputFolder::OutputFolder(const fs::path& path) : path_(path) {
  if (path.empty()) user_error("--output is empty; give it a name");
  std::error_code error;
  for (fs::path missing = path; !missing.empty(); missing = missing.parent_path()) {
    if (fs::status(missing, error).type() != fs::file_type::not_found) break;
    made_.push_back(missing);
  }
  fs::create_directories(path, error);
  std::error_code no_folder;
  if (!fs::is_directory(path, no_folder))
    user_error(path.string(), ": cannot create this folder: ", error ? error.message() : "a file has this name",
               "; correct --output");
  if (access(path.c_str(), R_OK | W_OK | X_OK) != 0)
    user_error(path.string(), ": cannot write there: ", std::strerror(errno), "; correct --output");
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  for (const fs::path& folder : made_) fs::remove(folder, ignored);
}

}  // namespace gptmoe
