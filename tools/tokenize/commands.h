#pragma once
// The subcommands of gptmoe-tokenize. Each ends with one summary line and returns the exit code; bad input throws
// UserError.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "corpus/encode_corpus.h"
#include "corpus/import_tokens.h"
#include "tokenizer/tokenizer_file.h"

namespace gptmoe {

struct TokenizerChoice {
  std::filesystem::path path;
  TokenizerOptions options;
};

struct TrainTokenizerOptions {
  int64_t vocab_size = 0;
  SplitPattern pattern = SplitPattern::gpt2;
  std::vector<std::string> special = {std::string(kEndOfText)};
  int threads = 1;
  std::filesystem::path output;
};

// Trains a tokenizer and writes it as tokenizer.json; creates the folder if needed.
int train_command(const TextInput& input, const TrainTokenizerOptions& options);

// Encodes text as shards. SIGINT, SIGTERM and SIGHUP end the job at a checkpoint, with exit code 128 + the signal.
int encode_command(const TokenizerChoice& tokenizer, const TextInput& input, EncodeOptions options);

// Counts the tokens of the input and writes nothing.
int count_command(const TokenizerChoice& tokenizer, const TextInput& input, int threads);

// Turns other programs' files of token ids into shards. A signal ends the job as in encode_command(). `options` has no
// tokenizer: the command loads it from `tokenizer`, or has none if that path is empty.
int import_command(const TokenizerChoice& tokenizer, ImportOptions options);

// Writes the text of consecutive shards to standard output and the summary to standard error. The output is plain text
// that includes the end-of-text tokens, or one line {"text": "..."} per document.
int decode_command(const TokenizerChoice& tokenizer, const std::vector<std::string>& shards, bool json_lines);

// Prints format, size and ids of each shard; with a tokenizer (path not empty) also its documents and first text.
int inspect_command(const TokenizerChoice& tokenizer, const std::vector<std::string>& shards);

}  // namespace gptmoe
