#pragma once
#include <filesystem>

namespace gptmoe {

// Whether every file of the checkpoint matches its checksum. Reads the whole checkpoint. Throws UserError or Failure
// naming a file that cannot be read, since that file may still be intact.
bool is_intact(const std::filesystem::path& checkpoint_dir);

}  // namespace gptmoe
