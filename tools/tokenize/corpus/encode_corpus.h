#pragma once
// Encodes documents as a folder of shards (shard_job.h).
#include <cstdint>
#include <filesystem>
#include <functional>

#include "corpus/documents.h"
#include "corpus/shard_job.h"
#include "tokenizer/tokenizer.h"

namespace gptmoe {

struct EncodeOptions {
  std::filesystem::path output = {};   // created if missing
  double val_fraction = 0;             // expected share of documents in validation, in [0, 1); 0 with val_paths
  int64_t shard_tokens = 100'000'000;  // every shard but the last of a split is exactly this long
  int threads = 1;                     // affects only the time
  double checkpoint_seconds = 10;      // between two checkpoints; every finished shard makes one too
  std::function<bool()> stop = {};     // polled; true ends the job at a checkpoint
};

// Encodes the documents in input order, each followed by the end-of-text token; a document may continue in the next
// shard. If `output` holds the same job, interrupted in any way, the job continues, and the final files equal those of
// an uninterrupted job. If that job is done already, the outcome is was_done. `documents` must be at its start.
// `progress`, if given, gets the summary so far after each batch.
//
// Throws the errors of ShardJob, and UserError for a val_fraction that leaves training or validation empty or that
// comes with files for validation, and for input without text, also in training or validation alone. Throws Failure if
// the disk is full.
JobSummary encode_corpus(DocumentReader& documents, const Tokenizer& tokenizer, const EncodeOptions& options,
                         const std::function<void(const JobSummary&)>& progress = {});

}  // namespace gptmoe
