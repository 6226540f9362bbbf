#pragma once
// UTF-8 (RFC 3629), one code point at a time, over bytes that may be invalid.
#include <cstdint>
#include <string>
#include <string_view>

namespace gptmoe {

constexpr uint32_t kCodePoints = 0x110000;  // U+0000 to U+10FFFF
constexpr uint32_t kMalformed = 0xFFFFFFFF;

struct CodePoint {
  uint32_t value;  // kMalformed if no valid sequence starts here
  int bytes;       // length in the text; 1 when malformed
};

// The code point at text[at], at < text.size(). Overlong forms, surrogates and cut sequences are malformed.
CodePoint read_code_point(std::string_view text, size_t at);

// out += value in UTF-8; value <= 0x10FFFF.
void append_utf8(std::string& out, uint32_t value);

// The place of the first malformed byte; npos in valid UTF-8.
size_t find_malformed(std::string_view text);

// The text with U+FFFD in place of every malformed byte.
std::string replace_malformed(std::string_view text);

}  // namespace gptmoe
