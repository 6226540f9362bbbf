#pragma once
// Turns files of token ids that other programs wrote into a folder of shards (shard_job.h).
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "corpus/shard_job.h"
#include "corpus/token_file.h"
#include "tokenizer/tokenizer.h"

namespace gptmoe {

struct ImportOptions {
  std::vector<std::string> inputs = {}, val_inputs = {};  // files; val_inputs go to validation
  std::filesystem::path output = {};                      // created if missing
  std::string format = {}, type = {};                     // names from kTokenFormats and kIdTypes; empty: not given
  const Tokenizer* tokenizer = nullptr;                   // what the ids mean, if known
  int64_t vocab_size = 0;                                 // without a tokenizer
  std::optional<int32_t> end = {};                        // the id that ends documents; the tokenizer's by default
  double val_fraction = 0;             // expected share of documents in validation; 0 with val_inputs
  int64_t shard_tokens = 100'000'000;  // every shard but the last of a split is exactly this long
  double checkpoint_seconds = 10;      // between two checkpoints; every finished shard makes one too
  std::function<bool()> stop = {};     // polled; true ends the job at a checkpoint
};

struct ImportProgress {
  const JobSummary& summary;
  int64_t bytes_read, bytes_total;  // of the files of ids
};

// Copies the ids in input order. If the id that ends documents is known, it is added after each document that lacks it:
// after Megatron's documents, and at the end of other files. A hash of a document's ids, without that id, decides
// whether the document goes to validation (val_fraction). Interrupted jobs continue just as those of encode_corpus()
// do. Documents are counted if the files say where they end. Bytes of text, without special tokens, are counted if
// there is a tokenizer. Otherwise the counts are 0.
//
// Throws the errors of ShardJob, TokenFile and list_token_files(), and UserError for bad options, for an id that the
// tokenizer does not know (naming file and byte), for val_fraction without known documents, and for a val_fraction that
// leaves training or validation empty. Throws Failure if the disk is full.
JobSummary import_tokens(const ImportOptions& options, const std::function<void(const ImportProgress&)>& progress = {});

}  // namespace gptmoe
