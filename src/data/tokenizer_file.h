#pragma once
// Hugging Face's tokenizer.json, as far as it describes GPT-2's kind of tokenizer: a BPE model over GPT-2's byte names
// (byte_alphabet.h), split by GPT-2's pattern, with added tokens. Both libraries read each other's files and produce
// the same ids, but for one thing: here the text of a special token ("<|endoftext|>") in a document is ordinary text.
#include <filesystem>

#include "data/tokenizer.h"

namespace gptmoe {

// Throws UserError naming file and JSON path: not JSON, a missing part, or a feature that would change the ids and is
// not offered here (another model type, normalizer, pre-tokenizer, ...).
Tokenizer load_tokenizer(const std::filesystem::path& path);

// Replaces `path` at once.
void save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& path);

}  // namespace gptmoe
