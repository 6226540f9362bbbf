#pragma once
// Tokenizers on disk. Byte-level BPE in these layouts:
//   tokenizer.json          Hugging Face's format: the layouts of GPT-2, GPT-NeoX, Llama 3, OLMo and Qwen, and our own
//   vocab.json, merges.txt  GPT-2's own pair of files
//   *.tiktoken, *.model     tiktoken's rank file: each line is a token in base64, a space, its rank
//   a folder                its tokenizer.json, else its vocab.json and merges.txt, else its only rank file
// A file is refused if it has an unsupported part that would change the ids (another model, normalizer, pre-tokenizer,
// ...); the error names the part. There is one deliberate difference from Hugging Face's library: the text of a special
// token ("<|endoftext|>") in a document is ordinary text. Nothing is put around a document, as with
// add_special_tokens=False. The token that ends documents is special, whatever the file says.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/tokenizer.h"
#include "tokenizer/unsupported_tokenizer.h"

namespace gptmoe {

struct TokenizerOptions {
  std::optional<SplitPattern> pattern = {};  // for a rank file, which does not name one; an error for other files
  std::string end_of_text = {};              // text of the token; empty: the first of kEndOfTextNames
};

// Throws UserError, naming file and JSON path, line or byte, if the file is malformed, a part is missing or merges
// contradict the vocabulary, and UnsupportedTokenizer if a feature is not supported.
Tokenizer load_tokenizer(const std::filesystem::path& path, const TokenizerOptions& options = {});

// The files that load_tokenizer(path) reads, the one that identifies the layout first; none if nothing is at `path` or
// it is a folder without a tokenizer. GPT-2's pair may come with a tokenizer_config.json. Throws UserError for an
// unknown kind of file, a pair that is not complete, a dangling link, or a path that cannot be accessed.
std::vector<std::filesystem::path> tokenizer_files(const std::filesystem::path& path);

// Writes the tokenizer as a tokenizer.json, replacing `path` atomically. The file encodes text to the same ids. Throws
// UserError if that format cannot express the tokenizer (two tokens written in the same way).
void save_tokenizer(const Tokenizer& tokenizer, const std::filesystem::path& path);

}  // namespace gptmoe
