#pragma once
// Tokenizers on disk. Byte-level BPE in these layouts:
//   tokenizer.json          Hugging Face's format: GPT-2, GPT-NeoX, Llama-3, OLMo, Qwen layouts; ours
//   vocab.json, merges.txt  GPT-2's own pair of files
//   *.tiktoken, *.model     tiktoken's rank file: each line is a token in base64, a space, its rank
//   a folder                its tokenizer.json, else its vocab.json and merges.txt, else its only rank file
// Parts that would change the ids and are not supported (another model, normalizer, pre-tokenizer, ...) are refused by
// name. There is one deliberate difference: the text of a special token ("<|endoftext|>") in a document is ordinary
// text, and nothing is put around a document, as with add_special_tokens=False. The token that ends documents is
// special, whatever the file says.
#include <filesystem>
#include <optional>
#include <string>

#include "tokenizer/tokenizer.h"

namespace gptmoe {

struct TokenizerOptions {
  std::optional<SplitPattern> pattern = {};  // for a rank file, which does not name it; an error for other files
  std::string end_of_text = {};              // its text; empty: the first of kEndOfTextNames
};

// Throws UserError naming file and JSON path, line or byte: malformed, a missing part, merges that contradict the
// vocabulary, or an unsupported feature.
Tokenizer load_tokenizer(const std::filesystem::path& path, const TokenizerOptions& options = {});

// Writes tokenizer.json, replacing `path` atomically; it encodes to the same ids. Throws UserError for what that format
// cannot express (two tokens written in the same way).
void save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& path);

}  // namespace gptmoe
