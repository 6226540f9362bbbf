#pragma once
#include <filesystem>
#include <vector>

#include "base/file.h"

namespace gptmoe {

// Whether something is at the path. Throws what file_type_at() throws.
inline bool anything_at(const std::filesystem::path& path) {
  return file_type_at(path) != std::filesystem::file_type::not_found;
}

// The entries of a folder, in no particular order; none if there is no such folder. Throws UserError naming the folder
// and the system's reason if it cannot be read.
std::vector<std::filesystem::path> folder_entries(const std::filesystem::path& folder);

}  // namespace gptmoe
