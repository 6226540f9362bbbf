#pragma once
// The folders of the sources and of the built programs. CMake generates the source file of these functions. No other
// source contains a path, so all checkouts can share a compiler cache.
#include <string>

namespace gptmoe {

// Both are absolute paths without a slash at the end.
std::string source_folder();  // the repository
std::string build_folder();

}  // namespace gptmoe
