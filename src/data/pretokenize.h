#pragma once
// How text is cut into words before byte-pair encoding; merges never cross a cut.
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace gptmoe {

enum class CharClass : uint8_t { letter, number, space, other };

// Unicode's \p{L}, \p{N} and \s (White_Space); everything else, kMalformed included, is `other`.
CharClass char_class(uint32_t code_point);

// The end of the word that starts at text[begin], begin < text.size(). Words follow GPT-2's pattern
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// (Radford et al. 2019): contractions; a run of letters, of digits or of other characters, each with one space ahead of
// it; white space, of which a word's own leading space is left to the word. Each byte of malformed UTF-8 counts as one
// character of class `other`. Words are never empty and together are the text.
size_t gpt2_word_end(std::string_view text, size_t begin);

}  // namespace gptmoe
