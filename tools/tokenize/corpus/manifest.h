#pragma once
// manifest.json beside the shards of an encoding: what they were made of, what they hold and, until the job is done,
// where it goes on. Written at every checkpoint, in one piece.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "corpus/documents.h"
#include "corpus/encode_batches.h"
#include "corpus/shard_set.h"
#include "tokenizer/tokenizer.h"

namespace gptmoe {

// All that decides about the bytes of the shards. An input file with the size and the time of its last change that it
// had is taken to hold what it held.
struct EncodeIdentity {
  std::string tokenizer;  // tokenizer_fingerprint()
  int64_t vocab_size = 0;
  std::string end_of_text;  // the text of that token
  double val_fraction = 0;
  int64_t shard_tokens = 0;
  std::string field;
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
  EncodeIdentity identity;
  SplitRecord train, val;
  SkippedErrors skipped;
  std::optional<ResumePoint> resume;  // nothing: the job is done
};

constexpr const char* kManifestName = "manifest.json";

// Equal for tokenizers that give the same ids, and in practice different for others.
std::string tokenizer_fingerprint(const Tokenizer& tokenizer);

// Replaces FOLDER/manifest.json at once. Throws Failure.
void write_manifest(const std::filesystem::path& folder, const Manifest& manifest);
// Throws UserError when the file is not one that write_manifest() of this version wrote.
Manifest read_manifest(const std::filesystem::path& folder);

// Throws UserError naming the first difference and what to do, when the job recorded in `folder` is not the one that
// `asked` describes.
void check_same_job(const std::filesystem::path& folder, const EncodeIdentity& recorded, const EncodeIdentity& asked);

}  // namespace gptmoe
