#include "tokenizer/utf8.h"

#include <algorithm>

namespace gptmoe {

CodePoint read_code_point(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return {lead, 1};
  const int bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || at + static_cast<size_t>(bytes) > text.size()) return {kMalformed, 1};
  uint32_t value = lead & (0x7Fu >> bytes);
  for (int i = 1; i < bytes; ++i) {
    const auto next = static_cast<unsigned char>(text[at + static_cast<size_t>(i)]);
    if ((next & 0xC0) != 0x80) return {kMalformed, 1};
    value = value << 6 | (next & 0x3F);
  }
  const bool overlong = (bytes == 3 && value < 0x800) || (bytes == 4 && value < 0x10000);
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (overlong || surrogate || value > 0x10FFFF) return {kMalformed, 1};
  return {value, bytes};
}

void append_utf8(std::string& out, uint32_t value) {
  const auto push = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (value < 0x80) {
    push(value);
    return;
  }
  if (value < 0x800) {
    push(0xC0 | value >> 6);
  } else {
    if (value < 0x10000) {
      push(0xE0 | value >> 12);
    } else {
      push(0xF0 | value >> 18);
      push(0x80 | (value >> 12 & 0x3F));
    }
    push(0x80 | (value >> 6 & 0x3F));
  }
  push(0x80 | (value & 0x3F));
}

size_t find_malformed(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = read_code_point(text, at);
    if (point.value == kMalformed) return at;
    at += static_cast<size_t>(point.bytes);
  }
  return std::string_view::npos;
}

size_t unfinished_bytes(std::string_view text) {
  for (size_t count = 1; count <= std::min<size_t>(3, text.size()); ++count) {
    const auto byte = static_cast<unsigned char>(text[text.size() - count]);
    if ((byte & 0xC0) == 0x80) continue;  // inside a character
    const size_t whole = byte < 0xC2 || byte > 0xF4 ? 1 : byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
    return count < whole ? count : 0;
  }
  return 0;
}

std::string replace_malformed(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t valid = std::min(find_malformed(text), text.size());
    out += text.substr(0, valid);
    text.remove_prefix(valid);
    if (text.empty()) break;
    append_utf8(out, 0xFFFD);
    text.remove_prefix(1);
  }
  return out;
}

}  // namespace gptmoe
