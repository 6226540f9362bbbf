#include "data/encode_corpus.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>

#include "base/check.h"
#include "base/rng.h"
#include "data/shard_file.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// The numbered shards of one split. Those of an unfinished set go with it.
class ShardSet {
 public:
  ShardSet(const fs::path& folder, std::string prefix, int64_t vocab_size, int64_t shard_tokens)
      : folder_(folder), prefix_(std::move(prefix)), vocab_size_(vocab_size), shard_tokens_(shard_tokens) {}
  ShardSet(const ShardSet&) = delete;
  ShardSet& operator=(const ShardSet&) = delete;
  ~ShardSet() {
    std::error_code ignored;
    if (!kept_)
      for (const fs::path& path : written_) fs::remove(path, ignored);
  }

  void append(std::span<const int32_t> tokens) {
    while (!tokens.empty()) {
      if (!writer_) writer_.emplace(next_path(), vocab_size_);
      const auto room = static_cast<size_t>(shard_tokens_ - writer_->size());
      const auto part = tokens.first(std::min(room, tokens.size()));
      writer_->append(part);
      tokens = tokens.subspan(part.size());
      if (writer_->size() == shard_tokens_) close_shard();
    }
  }
  // Completes the last shard.
  void finish() {
    if (writer_) close_shard();
  }
  void keep() { kept_ = true; }

  int64_t shards() const { return std::ssize(written_); }

 private:
  fs::path next_path() const {
    char number[24];
    std::snprintf(number, sizeof number, "_%06zu.bin", written_.size());
    return folder_ / (prefix_ + number);
  }
  void close_shard() {
    const fs::path path = next_path();
    writer_->commit();
    writer_.reset();
    written_.push_back(path);
  }

  fs::path folder_;
  std::string prefix_;
  int64_t vocab_size_, shard_tokens_;
  std::optional<ShardWriter> writer_;
  std::vector<fs::path> written_;
  bool kept_ = false;
};

int32_t check_options(const Tokenizer& tokenizer, const EncodeOptions& options) {
  if (!(options.val_fraction >= 0 && options.val_fraction < 1))
    user_error("--val-fraction ", options.val_fraction, ": give a share of documents from 0 to below 1, like 0.05");
  if (options.shard_tokens < 1 || options.shard_tokens > kMaxShardTokens)
    user_error("--shard-tokens ", options.shard_tokens, ": give 1 to ", kMaxShardTokens, " tokens");
  if (!tokenizer.end_of_text())
    user_error("the tokenizer has no ", kEndOfText, " token, which ends every document; use one that has, or add it");
  return *tokenizer.end_of_text();
}

void prepare_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!fs::is_directory(folder)) user_error(folder.string(), ": not a folder and cannot be made one; correct --output");
  // A run reads shards by glob: leftovers of another encoding would mix in, across the train/val split too.
  for (const char* pattern : {"train_*.bin", "val_*.bin"})
    for (const auto& path : glob_files((folder / pattern).string()))
      user_error(path.string(), ": shards of an earlier encoding are here; remove them or choose another --output");
}

void check_split(const EncodeSummary& summary, double val_fraction, double lowest_position) {
  const char* one = "the input is one document, and documents are not cut in two; ";
  const char* remedy = "give several .txt files or a .jsonl with one document a line, or --val-fraction 0";
  if (val_fraction > 0 && summary.documents == 1) user_error("--val-fraction ", val_fraction, ": ", one, remedy);
  if (val_fraction > 0 && summary.val_documents == 0)
    user_error("--val-fraction ", val_fraction, ": none of the ", summary.documents,
               " documents fell into validation; give --val-fraction ", std::ceil(lowest_position * 1000 + 1e-6) / 1000,
               " or more, more documents, or --val-fraction 0");
  if (summary.val_documents == summary.documents)
    user_error("--val-fraction ", val_fraction, ": all of the ", summary.documents,
               " documents fell into validation; give a smaller fraction or more documents");
}

}  // namespace

double split_position(std::string_view document) { return Rng(hash_bytes(document), 0).uniform(0); }

EncodeSummary encode_corpus(DocumentReader& documents, const Tokenizer& tokenizer, const EncodeOptions& options,
                            const std::function<void(const EncodeSummary&)>& progress) {
  const int32_t end_of_text = check_options(tokenizer, options);
  prepare_folder(options.output);
  ShardSet train(options.output, "train", tokenizer.vocab_size(), options.shard_tokens);
  ShardSet val(options.output, "val", tokenizer.vocab_size(), options.shard_tokens);
  EncodeSummary summary;
  double lowest_position = 1;
  WordCache cache;
  std::vector<int32_t> ids;
  while (const auto document = documents.next()) {
    ids.clear();
    tokenizer.encode(*document, cache, ids);
    ids.push_back(end_of_text);
    const double position = split_position(*document);
    lowest_position = std::min(lowest_position, position);
    const bool to_val = position < options.val_fraction;
    (to_val ? val : train).append(ids);
    (to_val ? summary.val_tokens : summary.train_tokens) += std::ssize(ids);
    summary.val_documents += to_val;
    summary.documents += 1;
    summary.bytes += std::ssize(*document);
    if (progress) progress(summary);
  }
  check_split(summary, options.val_fraction, lowest_position);
  val.finish();  // first, so that a finished train split implies a finished val split
  train.finish();
  train.keep();
  val.keep();
  summary.train_shards = train.shards();
  summary.val_shards = val.shards();
  return summary;
}

}  // namespace gptmoe
