#pragma once
// Facts about this machine, for the records of runs.
#include <string>

namespace gptmoe {

// The text after the colon of the first line of `file` that starts with `key`; "unknown" if there is none.
std::string system_fact(const char* file, const std::string& key);

// The version of the GPU's driver, "550.54.15"; "unknown" if there is none.
std::string gpu_driver_version();

}  // namespace gptmoe
