#pragma once
// A small corpus, a tokenizer for it, and functions to compare encodings of it.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"
#include "corpus/encode_corpus.h"
#include "data/shard_file.h"
#include "support/error_line.h"
#include "tokenizer/bpe_trainer.h"

namespace gptmoe {

struct EncodeFixture : testing::Test {
  static std::string document(int i) { return "chapter " + std::to_string(i) + ": the river ran on.\n"; }
  static std::string json_line(const std::string& document) { return nlohmann::json{{"text", document}}.dump() + "\n"; }
  // Writes documents 0 to count - 1 as the lines of a .jsonl file.
  std::string write_documents(int count, const std::string& name = "in.jsonl") {
    std::string lines;
    for (int i = 0; i < count; ++i) lines += json_line(document(i));
    write_text_file(folder / name, lines);
    return (folder / name).string();
  }

  static Tokenizer make_tokenizer(int64_t vocab_size = 300) {
    BpeTrainer trainer;
    for (int i = 0; i < 20; ++i) trainer.add(document(i));
    return trainer.train(vocab_size);
  }

  using Progress = std::function<void(const JobSummary&)>;
  JobSummary encode(const std::vector<std::string>& inputs, EncodeOptions options, const Progress& progress = {}) {
    if (options.output.empty()) options.output = output;
    TextInput input{.paths = inputs, .val_paths = val_inputs};
    input.skip_errors = skip_errors;
    DocumentReader documents(input, batch_bytes);
    return encode_corpus(documents, tokenizer, options, progress);
  }
  JobSummary encode(const std::string& input, EncodeOptions options) { return encode(std::vector{input}, options); }

  std::vector<int32_t> shard_tokens(const std::string& name) const {
    const Shard shard(output / name);
    std::vector<int32_t> tokens(static_cast<size_t>(shard.size()));
    shard.copy(0, shard.size(), tokens.data());
    return tokens;
  }
  std::string shard_text(const std::string& name) const { return tokenizer.decode(shard_tokens(name)); }

  // The content of every file in a folder, by name.
  static std::map<std::string, std::string> content(const std::filesystem::path& folder) {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      files[entry.path().filename()] = read_text_file(entry.path());
    return files;
  }
  // Expects the same files with the same bytes. Prints the names of files that differ, not their content.
  static void expect_same_files(const std::filesystem::path& folder, const std::filesystem::path& expected) {
    const auto found = content(folder), wanted = content(expected);
    for (const auto& [name, bytes] : wanted) {
      ASSERT_TRUE(found.contains(name)) << name << " is missing in " << folder;
      EXPECT_TRUE(found.at(name) == bytes) << name << " differs in " << folder;
    }
    for (const auto& [name, bytes] : found) EXPECT_TRUE(wanted.contains(name)) << folder << " has " << name << " too";
  }

  TemporaryFolder folder{memory_folder()};
  std::filesystem::path output = folder / "out";
  int64_t batch_bytes = 1 << 20;
  bool skip_errors = false;
  std::vector<std::string> val_inputs;
  Tokenizer tokenizer = make_tokenizer();
};

}  // namespace gptmoe
