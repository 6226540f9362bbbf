#pragma once
#include <filesystem>

namespace gptmoe {

// Whether every file of the checkpoint has its checksum. Reads all of it. Throws UserError or Failure naming a file
// that cannot be read: it may well be intact.
bool is_intact(const std::filesystem::path& checkpoint_dir);

}  // namespace gptmoe
