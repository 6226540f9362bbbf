#pragma once
// Tokenizers on disk. Byte-level BPE in every layout people have:
//   tokenizer.json          Hugging Face's format: GPT-2, GPT-NeoX, Llama-3, OLMo, Qwen layouts; ours
//   vocab.json, merges.txt  GPT-2's own pair of files
//   *.tiktoken, *.model     tiktoken's rank file: a line is a token in base64, a space, its rank
//   a folder                tokenizer.json in it, else vocab.json and merges.txt, else the one rank file
// What would change the ids and cannot be represented here (another model, normalizer, pre-tokenizer, ...) is refused
// by name. The one deliberate difference: the text of a special token ("<|endoftext|>") in a document is ordinary text,
// and nothing is put around a document, as with add_special_tokens=False. The token that ends documents is special,
// whatever the file says.
#include <filesystem>
#include <optional>
#include <string>

#include "tokenizer/tokenizer.h"

namespace gptmoe {

struct TokenizerOptions {
  std::optional<SplitPattern> pattern = {};  // of a rank file, which does not say; an error with other files
  std::string end_of_text = {};              // its text; empty: the first of kEndOfTextNames
};

// Throws UserError naming file and JSON path, line or byte: not what it should be, a missing part, merges that
// contradict the vocabulary, or a feature that is not offered here.
Tokenizer load_tokenizer(const std::filesystem::path& path, const TokenizerOptions& options = {});

// Writes tokenizer.json, replacing `path` at once. Throws UserError for what that format cannot say (a rank file's
// merges).
void save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& path);

}  // namespace gptmoe
