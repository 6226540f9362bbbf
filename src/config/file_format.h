#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace gptmoe {

// The format of a file that is not valid JSON: "YAML", "TOML or INI", "Python", "a binary file". It is judged by the
// ending of its name, and if that is no known one, by the first line that is not a comment. Empty if it looks like JSON
// with a mistake: whatever its name, if it begins with a brace and a quoted key.
std::string other_format(const std::filesystem::path& path, std::string_view content);

}  // namespace gptmoe
