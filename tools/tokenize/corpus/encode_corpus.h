#pragma once
// Encodes documents as a folder of shards: DIR/train_000000.bin, train_000001.bin, ..., DIR/val_000000.bin, ... and
// DIR/manifest.json, which says what they hold and lets an interrupted job continue.
#include <cstdint>
#include <filesystem>
#include <functional>

#include "corpus/documents.h"
#include "corpus/encode_batches.h"
#include "corpus/manifest.h"
#include "tokenizer/tokenizer.h"

namespace gptmoe {

struct EncodeOptions {
  std::filesystem::path output = {};   // created if missing
  double val_fraction = 0;             // expected share of documents in validation, in [0, 1)
  int64_t shard_tokens = 100'000'000;  // every shard but the last of a split is exactly this long
  int threads = 1;                     // affects only the time
  double checkpoint_seconds = 10;      // between two checkpoints; every finished shard makes one too
  std::function<bool()> stop = {};     // polled; true ends the job at a checkpoint
};

enum class EncodeOutcome { done, was_done, stopped };

struct EncodeSummary {
  EncodeOutcome outcome = EncodeOutcome::done;
  int64_t resumed_bytes = 0;  // of text, encoded by earlier runs of the job
  SplitRecord train, val;
  SkippedErrors skipped;

  int64_t documents() const { return train.counts.documents + val.counts.documents; }
  int64_t bytes() const { return train.counts.bytes + val.counts.bytes; }
  int64_t tokens() const { return train.counts.tokens + val.counts.tokens; }
};

// Encodes the documents in input order, each followed by the end-of-text token; a document may continue in the next
// shard. If `output` holds the same job, interrupted in any way, the job continues, and the final files are those of an
// uninterrupted job. If that job is done already, the outcome is was_done. `documents` must be at its start.
// `progress`, if given, gets the summary so far after each batch.
//
// A checkpoint flushes everything encoded so far to disk. After an error, the job can continue from the last
// checkpoint. Before the first checkpoint, and for standard input, which cannot be read again, an error leaves the
// folder as it was.
//
// Throws UserError for bad options, a folder that cannot be created or holds another job or shards without a manifest,
// a split that leaves either side empty, or input without text. Throws Failure if the disk is full.
EncodeSummary encode_corpus(DocumentReader& documents, const Tokenizer& tokenizer, const EncodeOptions& options,
                            const std::function<void(const EncodeSummary&)>& progress = {});

}  // namespace gptmoe
