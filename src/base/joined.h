#pragma once
#include <string>
#include <vector>

namespace gptmoe {

// "a, b, c".
inline std::string joined(const std::vector<std::string>& words, const char* separator = ", ") {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) out += (i == 0 ? "" : separator) + words[i];
  return out;
}

}  // namespace gptmoe
