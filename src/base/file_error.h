#pragma once
#include <filesystem>

#include "base/check.h"

namespace gptmoe {

// What the programs say when a function of std::filesystem threw: the path and the system's reason, in the form of our
// own errors.
inline Failure failure_of(const std::filesystem::filesystem_error& error) {
  const std::filesystem::path& path = error.path2().empty() ? error.path1() : error.path2();
  return Failure(text(path.string(), ": the system cannot use it: ", error.code().message()));
}

}  // namespace gptmoe
