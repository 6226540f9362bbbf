#pragma once
// The shards of one split of an encoding: FOLDER/train_000000.bin, train_000001.bin, ...
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/shard_file.h"

namespace gptmoe {

// What a set has written: all that is needed to go on with it.
struct ShardRecord {
  std::vector<int64_t> finished;  // tokens of each finished shard
  int64_t unfinished = 0;         // tokens of the one that follows them
  bool operator==(const ShardRecord&) const = default;
};

// A shard has its name only after publish(), which is for when a record on disk lists it: whatever interrupts a job, no
// shard is there that the record does not know, and what the record knows is there, named or partial.
class ShardSet {
 public:
  // `split` is the first part of the names. Every shard but the last holds `shard_tokens` tokens.
  ShardSet(const std::filesystem::path& folder, std::string split, const ShardFormat& format, int64_t shard_tokens);

  // Goes on where `record` was taken: names the finished shards that have no name yet, cuts the unfinished one to its
  // length and removes partial files beyond. Throws UserError naming a file that is missing or of another length.
  void resume(const ShardRecord& record);

  // Whole tokens as store_tokens() makes them; they may fill any number of shards.
  void append(std::string_view stored);
  // Finishes the last shard.
  void finish();
  // Returns when all that the record says is on the disk.
  void sync();
  // Names the finished shards.
  void publish();
  // Removes all that resume() and publish() named and every partial file of the split.
  void remove();
  bool published() const { return published_ == record_.finished.size(); }

  const ShardRecord& record() const { return record_; }

 private:
  std::filesystem::path path(size_t shard) const;
  void finish_shard();
  void remove_partial_files(const std::filesystem::path& but);

  std::filesystem::path folder_;
  std::string split_;
  const ShardFormat& format_;
  int64_t shard_tokens_;
  ShardRecord record_;
  size_t published_ = 0;  // finished shards that have their names
  std::optional<ShardWriter> writer_;
};

std::string shard_name(const std::string& split, size_t shard);

}  // namespace gptmoe
