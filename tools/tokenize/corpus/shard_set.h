#pragma once
// The shards of one split of a job: FOLDER/train_000000.bin, train_000001.bin, ...
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/checksum.h"
#include "data/shard_seals.h"

namespace gptmoe {

struct FinishedShard {
  int64_t tokens = 0;
  ShardSeal seal;  // empty in the record of an older version
  bool operator==(const FinishedShard&) const = default;
};

// The state of a set: all that is needed to continue it.
struct ShardRecord {
  std::vector<FinishedShard> finished;
  int64_t unfinished = 0;           // tokens of the unfinished shard after them; 0: there is none
  std::string unfinished_checksum;  // of these tokens, as tokens_checksum(); empty if there are none
  bool operator==(const ShardRecord&) const = default;
};

// A shard gets its name only by publish(), after a record on disk lists it. So after any interruption the record lists
// every named shard, and every shard in the record exists, named or partial.
class ShardSet {
 public:
  // `split` is the first part of the names. Every shard but the last holds `shard_tokens` tokens.
  ShardSet(const std::filesystem::path& folder, std::string split, const ShardFormat& format, int64_t shard_tokens);

  // Continues from `record`: names the finished shards that have no name yet, cuts the unfinished one to its length and
  // removes later partial files. Throws UserError naming a file that is missing, of another length, or damaged: the
  // samples of a finished shard and all tokens of the unfinished one are checked.
  void resume(const ShardRecord& record);

  // `stored`: whole tokens from store_tokens(); they may fill any number of shards.
  void append(std::string_view stored);
  // Finishes the last shard.
  void finish();
  // Flushes everything in the record to disk.
  void sync();
  // Names the finished shards.
  void publish();
  // Removes the shards of the record that have their names, and every partial file of the split. Throws UserError or
  // Failure.
  void remove();
  bool published() const { return published_ == record_.finished.size(); }

  ShardRecord record() const;

 private:
  std::filesystem::path path(size_t shard) const;
  void finish_shard();
  void resume_unfinished(const ShardRecord& record);
  void remove_partial_files(const std::filesystem::path& but);

  std::filesystem::path folder_;
  std::string split_;
  const ShardFormat& format_;
  int64_t shard_tokens_;
  ShardRecord record_;
  Checksum checksum_;     // of the unfinished shard's tokens
  size_t published_ = 0;  // finished shards that are named
  std::optional<ShardWriter> writer_;
};

std::string shard_name(const std::string& split, size_t shard);

}  // namespace gptmoe
