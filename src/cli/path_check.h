#pragma once
#include <CLI/CLI.hpp>
#include <string>

namespace gptmoe {

// Checks that an option's path is not empty, as it is when a shell variable is not set. Without this check, "" would
// count as an option that was not given.
inline CLI::Validator path_given() {
  return {[](std::string& input) { return input.empty() ? std::string("must not be empty") : std::string(); }, ""};
}

}  // namespace gptmoe
