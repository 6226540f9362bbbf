#pragma once
// UTF-8 (RFC 3629), one code point at a time, over bytes that may be invalid.
#include <cstdint>
#include <string>
#include <string_view>

namespace gptmoe {

constexpr uint32_t kCodePoints = 0x110000;  // U+0000 to U+10FFFF
constexpr uint32_t kMalformed = 0xFFFFFFFF;

// Whether valid UTF-8 can contain the byte. 13 byte values never occur in it: C0, C1 and F5 to FF.
constexpr bool may_be_utf8(unsigned char byte) { return byte < 0xC0 || (byte >= 0xC2 && byte <= 0xF4); }

struct CodePoint {
  uint32_t value;  // kMalformed if no valid sequence starts here
  int bytes;       // length in the text; 1 when malformed
};

// The code point at text[at], at < text.size(). Overlong forms, surrogates and truncated sequences are malformed.
CodePoint read_code_point(std::string_view text, size_t at);

// Appends the UTF-8 form of `value`, at most 0x10FFFF, to `out`.
void append_utf8(std::string& out, uint32_t value);

// The position of the first byte that is not part of valid UTF-8; npos if the whole text is valid.
size_t find_malformed(std::string_view text);

// The length of the incomplete character at the end of the text: 1 to 3 bytes; 0 if there is none.
size_t unfinished_bytes(std::string_view text);

// The text with U+FFFD in place of every byte that is not part of valid UTF-8.
std::string replace_malformed(std::string_view text);

}  // namespace gptmoe
