#include "corpus/output_folder.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "base/check.h"

namespace gptmoe {

namespace fs = std::filesystem;

OutputFolder::OutputFolder(const fs::path& path, const std::string& doing) : path_(path) {
  if (path.empty()) user_error("--output is empty; give it a name");
  std::error_code error;  // create_directories() reports what these looks cannot see
  for (fs::path missing = path; !missing.empty(); missing = missing.parent_path()) {
    if (fs::status(missing, error).type() != fs::file_type::not_found) break;
    made_.push_back(missing);
  }
  fs::create_directories(path, error);
  std::error_code no_folder;  // what cannot be looked at is none
  if (!fs::is_directory(path, no_folder))
    user_error(path.string(), ": cannot create this folder: ", error ? error.message() : "a file has this name",
               "; correct --output");
  if (access(path.c_str(), R_OK | W_OK | X_OK) != 0)
    user_error(path.string(), ": cannot write there: ", std::strerror(errno), "; correct --output");
  if (!doing.empty()) lock_.emplace(path, doing);
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;  // a folder that is not empty stays
  for (const fs::path& folder : made_) fs::remove(folder, ignored);
}

}  // namespace gptmoe
