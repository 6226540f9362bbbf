#pragma once
// The subcommands of gptmoe-tokenize. Each prints one summary line at its end; bad input throws UserError.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/encode_corpus.h"

namespace gptmoe {

struct TextInput {
  std::vector<std::string> paths;  // files, folders, "-"
  std::string field = "text";      // of .jsonl
};

// Learns a tokenizer of `vocab_size` entries and writes it as tokenizer.json.
void train_command(const TextInput& input, int64_t vocab_size, const std::filesystem::path& output);

void encode_command(const std::filesystem::path& tokenizer, const TextInput& input, const EncodeOptions& options);

// Writes the text of a shard to standard output, and the summary to standard error.
void decode_command(const std::filesystem::path& tokenizer, const std::filesystem::path& shard);

// Prints format, size and ids of a shard; with a tokenizer (path not empty) also its documents and how it begins.
void inspect_command(const std::filesystem::path& shard, const std::filesystem::path& tokenizer);

}  // namespace gptmoe
