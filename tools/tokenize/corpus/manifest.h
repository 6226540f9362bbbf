#pragma once
// manifest.json beside the shards of a job: their sources, their contents and, until the job is done, where it
// continues. Written at every checkpoint, atomically.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "corpus/documents.h"
#include "corpus/encode_batches.h"
#include "corpus/shard_set.h"
#include "data/shard_seals.h"
#include "tokenizer/tokenizer.h"

namespace gptmoe {

// Everything that determines the bytes of the shards. An input file with unchanged size and modification time counts as
// unchanged.
struct JobIdentity {
  std::string command;    // "encode" or "import"
  std::string tokenizer;  // tokenizer_fingerprint(); empty: ids are imported without a tokenizer
  int64_t vocab_size = 0;
  std::string end_of_text;  // the text of that token; empty without a tokenizer
  double val_fraction = 0;
  int64_t shard_tokens = 0;
  std::vector<std::pair<std::string, std::string>> options;  // the command's other options: name, value
  std::vector<InputFile> inputs;
};

struct SplitRecord {
  TextCounts counts;
  ShardRecord shards;
};

struct ResumePoint {
  InputPosition input;
  double lowest_position = 1;  // the least split_position() of a document so far
};

struct Manifest {
  JobIdentity identity;
  SplitRecord train, val;
  SkippedErrors skipped;
  std::optional<ResumePoint> resume;  // nullopt: the job is done
};

constexpr const char* kNotGiven = "not given";  // the value of an option in JobIdentity

// A text that is equal for tokenizers that give the same ids, and in practice different for others.
std::string tokenizer_fingerprint(const Tokenizer& tokenizer);

// The shortest decimal number that reads back as `value`.
std::string shortest(double value);

// Replaces FOLDER/manifest.json atomically. If a split has tokens but its count of documents or bytes is 0, that count
// is unknown, and its key is left out. Without "bytes", "bytes_per_token" is left out too. Throws Failure.
void write_manifest(const std::filesystem::path& folder, const Manifest& manifest);
// Throws UserError if the file is damaged, or if it is not a manifest of this version or of version 1.
Manifest read_manifest(const std::filesystem::path& folder);

// Throws UserError naming the first difference and the remedy if the job recorded in `folder` is not the one that
// `asked` describes.
void check_same_job(const std::filesystem::path& folder, const JobIdentity& recorded, const JobIdentity& asked);

}  // namespace gptmoe
