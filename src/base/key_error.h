#pragma once
#include <string>
#include <utility>

#include "base/check.h"

namespace gptmoe {

// The error of one key of a JSON file: "FILE: PATH: WHY". The parts stay separate, so that a caller that knows the
// value's true source (the command line) can name that source instead of FILE.
struct KeyError : UserError {
  KeyError(const std::string& file, std::string path, std::string why)
      : UserError(file + ": " + (path.empty() ? "" : path + ": ") + why), path(std::move(path)), why(std::move(why)) {}
  std::string path, why;
};

// The key that a path "SECTION.KEY" ends with.
inline std::string last_name(const std::string& path) { return path.substr(path.rfind('.') + 1); }

}  // namespace gptmoe
