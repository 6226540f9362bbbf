#pragma once
// GPT-2's printable names for bytes, which tokenizer files use to write arbitrary bytes as text. Bytes 0x21-0x7E,
// 0xA1-0xAC and 0xAE-0xFF are named by the code point of the same number; the other 68, in ascending order, by U+0100
// onwards (a space is U+0120).
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gptmoe {

// The 256 bytes ordered by the code point of their name: GPT-2's token ids 0..255.
const std::array<uint8_t, 256>& alphabet_order();

// "\n the" -> "ĊĠthe".
std::string to_byte_names(std::string_view bytes);
// The inverse of to_byte_names(); nullopt if a character names no byte.
std::optional<std::string> from_byte_names(std::string_view names);

}  // namespace gptmoe
