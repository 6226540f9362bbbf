#pragma once
// Helpers of fuzz targets: files that hold their input, and the refusal that damaged input may cause.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "support/temporary_folder.h"

namespace gptmoe::fuzz {

// A file in a folder of this process, since the readers take paths. The folder is in memory if the machine allows it.
// The destructor removes the folder.
class InputPath {
 public:
  explicit InputPath(const std::string& name, const std::string& folder = "input")
      : root_(memory_folder() / ("gptmoe-fuzz-" + std::to_string(getpid()))), path_(root_ / folder / name) {
    std::filesystem::create_directories(path_.parent_path());
  }
  ~InputPath() { std::filesystem::remove_all(root_); }
  const std::filesystem::path& with(std::string_view bytes) const {
    std::ofstream(path_, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return path_;
  }
  std::filesystem::path folder() const { return path_.parent_path(); }

 private:
  std::filesystem::path root_, path_;
};

// Runs `action`. Damaged input may cause a UserError, whose message must be a single line.
template <typename Action>
void allow_refusal(Action action) {
  try {
    action();
  } catch (const UserError& error) {
    GPTMOE_CHECK(std::string_view(error.what()).find('\n') == std::string_view::npos, error.what());
  }
}

// The bytes up to the first NUL, and those after it.
inline std::pair<std::string_view, std::string_view> split_at_nul(std::string_view bytes) {
  const size_t end = std::min(bytes.find('\0'), bytes.size());
  return {bytes.substr(0, end), bytes.substr(std::min(end + 1, bytes.size()))};
}

}  // namespace gptmoe::fuzz
