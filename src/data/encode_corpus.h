#pragma once
// Documents to a folder of shards: DIR/train_000000.bin, train_000001.bin, ... and DIR/val_000000.bin, ...
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>

#include "data/documents.h"
#include "data/tokenizer.h"

namespace gptmoe {

struct EncodeOptions {
  std::filesystem::path output = {};   // created if missing; must hold no train_*.bin or val_*.bin
  double val_fraction = 0;             // expected share of documents in validation, in [0, 1)
  int64_t shard_tokens = 100'000'000;  // every shard but the last of a split is exactly this long
};

struct EncodeSummary {
  int64_t documents = 0, val_documents = 0;  // val_documents of documents
  int64_t bytes = 0;                         // of text
  int64_t train_tokens = 0, val_tokens = 0;  // end-of-text tokens included
  int64_t train_shards = 0, val_shards = 0;
};

// In [0, 1), from the document's bytes alone: a document is in validation when this lies below the fraction, so adding
// or moving files changes no other document's side, and a document that occurs twice never stands on both.
double split_position(std::string_view document);

// Documents in input order, each followed by the end-of-text token; a document may continue in the next shard.
// `progress`, if given, hears the summary so far after each document. On any exception the shards written are removed.
// Throws UserError on bad options, a tokenizer without end-of-text token, or a split that leaves either side empty.
EncodeSummary encode_corpus(DocumentReader& documents, const Tokenizer& tokenizer, const EncodeOptions& options,
                            const std::function<void(const EncodeSummary&)>& progress = {});

}  // namespace gptmoe
