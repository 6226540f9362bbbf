#pragma once
// The folders of the tests' data and of the built programs. CMake generates the source file. No other source
// contains a path, so the compiler cache serves every checkout.
#include <string>

namespace gptmoe {

std::string source_folder();  // the repository; an absolute path without a slash at the end
std::string build_folder();   // likewise

}  // namespace gptmoe
