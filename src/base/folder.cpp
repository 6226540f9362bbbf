#include "base/folder.h"

#include "base/check.h"

namespace gptmoe {

std::vector<std::filesystem::path> folder_entries(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> entries;
  if (!anything_at(folder)) return entries;
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    entries.push_back(it->path());
  if (error && !is_absence(error)) user_error(folder.string(), ": cannot read the folder: ", error.message());
  return entries;
}

}  // namespace gptmoe
