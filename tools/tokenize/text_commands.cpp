// train and encode: commands that read text.
#include <cstdio>

#include "base/progress.h"
#include "commands.h"
#include "data/bpe_trainer.h"
#include "data/tokenizer_file.h"

namespace gptmoe {
namespace {

std::string plural(int64_t count, const char* noun) {
  return grouped_digits(count) + " " + noun + (count == 1 ? "" : "s");
}

std::string ignored_note(const DocumentReader& documents) {
  return documents.files_ignored() == 0
             ? ""
             : "; " + plural(documents.files_ignored(), "file") + " that are not .txt or .jsonl ignored";
}

std::string read_note(const DocumentReader& documents) {
  return binary_bytes(documents.bytes_read()) + " of " + binary_bytes(documents.bytes_total());
}

}  // namespace

void train_command(const TextInput& input, int64_t vocab_size, const std::filesystem::path& output) {
  DocumentReader documents(input.paths, input.field);
  BpeTrainer trainer;
  ProgressLine progress;
  int64_t count = 0, bytes = 0;
  while (const auto document = documents.next()) {
    trainer.add(*document);
    ++count;
    bytes += std::ssize(*document);
    progress.show("counting words: " + read_note(documents));
  }
  const Tokenizer tokenizer = trainer.train(vocab_size, {std::string(kEndOfText)}, [&](int64_t tokens) {
    progress.show("merging: " + grouped_digits(tokens) + " of " + grouped_digits(vocab_size) + " tokens");
  });
  save_tokenizer(tokenizer, output);
  progress.clear();
  const bool short_of = tokenizer.vocab_size() < vocab_size;
  std::printf(
      "%s: %s tokens%s from %s (%s, %s)%s\n", output.c_str(), grouped_digits(tokenizer.vocab_size()).c_str(),
      short_of ? (" (of " + grouped_digits(vocab_size) + " asked: no pair is left that occurs twice)").c_str() : "",
      plural(count, "document").c_str(), binary_bytes(bytes).c_str(),
      plural(trainer.distinct_words(), "distinct word").c_str(), ignored_note(documents).c_str());
}

void encode_command(const std::filesystem::path& tokenizer_path, const TextInput& input, const EncodeOptions& options) {
  const Tokenizer tokenizer = load_tokenizer(tokenizer_path);
  DocumentReader documents(input.paths, input.field);
  ProgressLine progress;
  const EncodeSummary summary = encode_corpus(documents, tokenizer, options, [&](const EncodeSummary& so_far) {
    progress.show("encoding: " + read_note(documents) + ", " +
                  metric_count(static_cast<double>(so_far.train_tokens + so_far.val_tokens)) + " tokens");
  });
  progress.clear();
  const int64_t tokens = summary.train_tokens + summary.val_tokens;
  std::string shards = plural(summary.train_shards, "train shard") + " of " + plural(summary.train_tokens, "token");
  if (summary.val_shards > 0)
    shards += " and " + plural(summary.val_shards, "val shard") + " of " + plural(summary.val_tokens, "token");
  std::printf("%s: %s (%s) in %s, %.2f bytes a token%s\n", options.output.c_str(),
              plural(summary.documents, "document").c_str(), binary_bytes(summary.bytes).c_str(), shards.c_str(),
              static_cast<double>(summary.bytes) / static_cast<double>(tokens), ignored_note(documents).c_str());
}

}  // namespace gptmoe
