#pragma once
// Splits text into words before byte-pair encoding; merges never cross the words' borders.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gptmoe {

// The patterns of common tokenizers, named after their origin. At every word's start, the pattern's alternatives are
// tried from left to right. Each byte of malformed UTF-8 counts as one character outside all classes.
//   gpt2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+         (Radford et al. 2019)
//   llama3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+
//           |\s+(?!\S)|\s+
//   cl100k  as llama3, but white space that ends the text is one word (\s++$ comes before \s*[\r\n])   (tiktoken)
//   qwen2   as llama3, with \p{N} in place of \p{N}{1,3}
enum class SplitPattern : uint8_t { gpt2, llama3, cl100k, qwen2 };

std::string_view name_of(SplitPattern pattern);
std::optional<SplitPattern> split_pattern_of(std::string_view name);
// "gpt2, llama3, cl100k or qwen2", for messages.
std::string_view split_pattern_names();

// The end of the word that starts at text[begin], begin < text.size(). Words are never empty, and together they make up
// the text.
size_t word_end(SplitPattern pattern, std::string_view text, size_t begin);

enum class CharClass : uint8_t { letter, number, space, other };

// Unicode's \p{L}, \p{N} and \s (White_Space); everything else, kMalformed included, is `other`.
CharClass char_class(uint32_t code_point);

}  // namespace gptmoe
