#pragma once
// GPT-2's own pair of files. vocab.json is an object of token to id. merges.txt begins with a comment, "#version: ...",
// and then has one merge "left right" per line, lowest rank first. Tokens are in byte names (byte_alphabet.h); the
// split into words is GPT-2's. Other tokenizers use the same pair of files with other splits. So if there is a
// tokenizer_config.json beside vocab.json, the class that it names must be GPT-2's.
#include <filesystem>

#include "tokenizer/tokenizer.h"

namespace gptmoe {

// Throws UserError naming file and token or line.
Vocabulary read_gpt2_files(const std::filesystem::path& vocab_json, const std::filesystem::path& merges_txt);

}  // namespace gptmoe
