#pragma once
// tiktoken's rank file: each line is a token in base64 (RFC 4648), a space and its rank, which is its id.
#include <filesystem>

#include "tokenizer/tokenizer.h"

namespace gptmoe {

// tiktoken's algorithm as a Vocabulary. A word that is a token becomes that token. In any other word, the two
// neighbours whose joined bytes are the token of lowest rank become that token, repeatedly. So every split of a token
// into two tokens is a merge. The file names no special tokens. Three published files (cl100k_base, p50k_base, Llama 3)
// are recognised by pattern and number of ranks, and get their own special tokens. Other files get <|endoftext|> after
// the last rank. Throws UserError naming file and line.
Vocabulary read_rank_file(const std::filesystem::path& path, SplitPattern pattern);

}  // namespace gptmoe
