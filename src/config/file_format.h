#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace gptmoe {

// The format of a file that is not valid JSON: "YAML", "TOML or INI", "Python", "a binary file". The ending of the
// file's name decides; if that ending is not known, the first line that is not a comment decides. Empty if the file
// looks like JSON with a mistake, that is, if it begins with a brace and a quoted key, or if nothing else fits.
std::string other_format(const std::filesystem::path& path, std::string_view content);

}  // namespace gptmoe
