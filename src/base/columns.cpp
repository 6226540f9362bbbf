#include "base/columns.h"

#include <algorithm>

namespace gptmoe {
namespace {

bool starts_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

}  // namespace

size_t columns_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), starts_code_point));
}

std::string shortened(const std::string& text, size_t columns) {
  if (columns_of(text) <= columns) return text;
  std::string out;
  size_t taken = 0;
  for (char c : text) {
    if (starts_code_point(c) && ++taken == columns) break;
    out += c;
  }
  return out + "…";
}

}  // namespace gptmoe
