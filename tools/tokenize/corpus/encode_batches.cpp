#include "corpus/encode_batches.h"

#include <algorithm>
#include <deque>

#include "base/check.h"
#include "base/ordered_workers.h"
#include "base/progress.h"
#include "base/rng.h"

namespace gptmoe {
namespace {

// A batch of this size or more is processed alone: the JSON parser takes up to 13 bytes of memory per byte of a line.
constexpr int64_t kLargeBatch = int64_t{4} << 20;
constexpr size_t kKeptIds = size_t{1} << 20;

// What a thread keeps from batch to batch.
class BatchEncoder {
 public:
  BatchEncoder(const TextInput& input, const Tokenizer& tokenizer, double val_fraction)
      : parser_(input),
        tokenizer_(tokenizer),
        format_(shard_format_for(tokenizer.vocab_size())),
        val_fraction_(val_fraction) {}

  EncodedBatch encode(const TextBatch& batch) {
    EncodedBatch encoded;
    encoded.end = batch.end;
    parser_.parse(
        batch,
        [&](const DocumentPiece& piece) {
          if (!(piece.begins && piece.ends) && !tokenizer_.encodes_pieces())
            user_error(batch.path, ": this tokenizer has a token of several words, so it cannot encode a ",
                       "document of several MiB in pieces; put the document on one line of a .jsonl file");
          append(piece, part_for(piece, batch, encoded));
        },
        encoded.errors);
    // batch.errors come after the batch's text.
    encoded.errors.insert(encoded.errors.end(), batch.errors.begin(), batch.errors.end());
    return encoded;
  }

 private:
  void append(const DocumentPiece& piece, EncodedPart& part) {
    ids_.clear();
    tokenizer_.encode(piece.text, cache_, ids_);
    if (piece.ends) ids_.push_back(*tokenizer_.end_of_text());
    store_tokens(ids_, format_, part.stored);
    const int64_t tokens = std::ssize(ids_);
    if (ids_.capacity() > kKeptIds) std::vector<int32_t>().swap(ids_);
    part.counts.documents += piece.ends;
    part.counts.bytes += std::ssize(piece.text);
    part.counts.tokens += tokens;
  }

  EncodedPart& part_for(const DocumentPiece& piece, const TextBatch& batch, EncodedBatch& encoded) const {
    if (batch.validation) return encoded.val;
    if (val_fraction_ == 0) return encoded.train;
    GPTMOE_CHECK(piece.hash || (piece.begins && piece.ends));
    const double position = split_position_of(piece.hash ? *piece.hash : hash_bytes(piece.text));
    encoded.lowest_position = std::min(encoded.lowest_position, position);
    return position < val_fraction_ ? encoded.val : encoded.train;
  }

  DocumentParser parser_;
  const Tokenizer& tokenizer_;
  const ShardFormat& format_;
  double val_fraction_;
  WordCache cache_;
  std::vector<int32_t> ids_;
};

}  // namespace

void SkippedErrors::add(std::vector<std::string> errors) {
  count += std::ssize(errors);
  for (std::string& error : errors)
    if (std::ssize(first) < kKept) first.push_back(std::move(error));
}

void require_documents(int64_t count, const DocumentReader& documents, const SkippedErrors& skipped) {
  if (count > 0) return;
  user_error("no document with text in it among ", plural(std::ssize(documents.files()), "input file"),
             skipped.count > 0
                 ? text(" (", plural(skipped.count, "error"), " skipped, the first: ", skipped.first[0], ")")
                 : "",
             "; check --input and --field");
}

double split_position_of(uint64_t hash) { return Rng(hash, 0).uniform(0); }

double split_position(std::string_view document) { return split_position_of(hash_bytes(document)); }

// Skipped errors count too: a batch may hold nothing else.
int64_t batch_weight(const TextBatch& batch) {
  const int64_t bytes = std::ssize(batch.bytes);
  return (bytes < kLargeBatch ? bytes : bytes + kBytesInFlight) + std::ssize(batch.errors) * 256 + 1;
}

int64_t batch_bytes_for(int threads) {
  return std::clamp<int64_t>(kBytesInFlight / 4 / threads, int64_t{64} << 10, int64_t{1} << 20);
}

void encode_batches(DocumentReader& documents, const Tokenizer& tokenizer, const BatchOptions& options,
                    const std::function<void(EncodedBatch)>& deliver) {
  if (!tokenizer.end_of_text())
    user_error("the tokenizer has no ", kEndOfText,
               " token to end documents with; use --end-of-text to name the token that it uses instead");
  if (options.val_fraction > 0) documents.hash_long_documents();
  documents.allow_bytes(tokenizer.known_bytes());
  std::deque<BatchEncoder> encoders;
  for (int thread = 0; thread < options.threads; ++thread)
    encoders.emplace_back(documents.input(), tokenizer, options.val_fraction);
  run_ordered(
      options.threads, kBytesInFlight, [&] { return documents.next(); }, batch_weight,
      [&](int thread, TextBatch batch) { return encoders[static_cast<size_t>(thread)].encode(batch); }, deliver);
}

}  // namespace gptmoe
