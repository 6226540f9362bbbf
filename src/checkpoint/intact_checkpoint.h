#pragma once
#include <filesystem>

namespace gptmoe {

// Whether every file of the checkpoint can be read and has its checksum. Reads all of it.
bool is_intact(const std::filesystem::path& checkpoint_dir);

}  // namespace gptmoe
