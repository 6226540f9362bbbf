#pragma once
// Turns documents into tokens with several threads, in input order: shared by encoding and counting.
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/documents.h"
#include "data/shard_file.h"
#include "tokenizer/tokenizer.h"

namespace gptmoe {

// A number in [0, 1) that depends on the document's bytes alone. A document is in validation if its number is below
// val_fraction. So adding or moving files moves no other document to the other split, and all copies of a document are
// in the same split.
double split_position(std::string_view document);
// split_position() of a document whose hash_bytes() is `hash`.
double split_position_of(uint64_t hash);

struct TextCounts {
  int64_t documents = 0;  // a document counts where it ends
  int64_t bytes = 0;      // of text
  int64_t tokens = 0;     // including end-of-text tokens

  TextCounts& operator+=(const TextCounts& other) {
    documents += other.documents;
    bytes += other.bytes;
    tokens += other.tokens;
    return *this;
  }
  bool operator==(const TextCounts&) const = default;
};

struct SkippedErrors {
  static constexpr int64_t kKept = 20;
  int64_t count = 0;
  std::vector<std::string> first;  // at most kKept
  void add(std::vector<std::string> errors);
};

// The documents of one split in one batch.
struct EncodedPart {
  std::string stored;  // their tokens in the form of store_tokens()
  TextCounts counts;
};

struct EncodedBatch {
  EncodedPart train, val;
  double lowest_position = 1;       // the lowest split_position() of its documents, if val_fraction > 0
  std::vector<std::string> errors;  // skipped
  InputPosition end;                // the reader's position after it
};

struct BatchOptions {
  int threads = 1;
  double val_fraction = 0;  // share of documents for `val`; above 0 the reader hashes long documents
};

// The bytes of text that all threads together may hold at once. batch_weight() is the number of bytes that a batch
// counts as. A batch with a line of several MiB counts as more than kBytesInFlight, so that nothing more is read until
// it is done.
constexpr int64_t kBytesInFlight = int64_t{16} << 20;
int64_t batch_weight(const TextBatch& batch);
// The batch size that keeps `threads` threads busy within the memory that batches may take.
int64_t batch_bytes_for(int threads);

// Throws UserError if the whole input had no document.
void require_documents(int64_t count, const DocumentReader& documents, const SkippedErrors& skipped);

// Reads `documents` to the end and calls `deliver` for every batch, in order, never from two threads at once. Every
// document is followed by the tokenizer's end-of-text token. Throws the errors of reader and parser, and UserError if
// the tokenizer has no such token or cannot encode a document in pieces.
void encode_batches(DocumentReader& documents, const Tokenizer& tokenizer, const BatchOptions& options,
                    const std::function<void(EncodedBatch)>& deliver);

}  // namespace gptmoe
