#include "base/output_file.h"

#include <filesystem>

#include "base/check.h"

namespace gptmoe {

void open_output(std::optional<AtomicFile>& file, const std::string& option, const std::string& path) {
  if (path.empty()) return;
  if (std::filesystem::is_directory(path)) user_error(option, ": ", path, " is a folder; name a file");
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder))
    user_error(option, ": ", folder.string(), " is not a folder; create it, or name another file");
  file.emplace(path);
}

}  // namespace gptmoe
