#include "base/system_facts.h"

#include <cctype>
#include <fstream>
#include <sstream>

namespace gptmoe {

std::string system_fact(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(key))
      if (const size_t value = line.find_first_not_of(" \t", line.find(':') + 1); value != std::string::npos)
        return line.substr(value);
  return "unknown";
}

// The first word with a dot of "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Thu Mar ...".
std::string gpu_driver_version() {
  std::istringstream words(system_fact("/proc/driver/nvidia/version", "NVRM version"));
  for (std::string word; words >> word;)
    if (std::isdigit(static_cast<unsigned char>(word[0])) && word.find('.') != std::string::npos) return word;
  return "unknown";
}

}  // namespace gptmoe
