#pragma once
// Token shards: llm.c's two file formats, so its FineWeb shards load unchanged.
//   bytes 0..1023   header, 256 little-endian int32 values: [0] magic, [1] version, [2] number of tokens, the rest 0
//   then            the tokens, little-endian: uint16 (magic 20240520, version 1) or
//                                              uint32 (magic 20240801, version 7, vocabularies over 65,536)
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "base/file.h"

namespace gptmoe {

constexpr int64_t kShardHeaderBytes = 1024;
constexpr int64_t kMaxShardTokens = 2147483647;  // the header counts in an int32

struct ShardFormat {
  int32_t magic, version;
  int token_bytes;
};
constexpr ShardFormat kShardU16{20240520, 1, 2};
constexpr ShardFormat kShardU32{20240801, 7, 4};

// The format with this magic; null if there is none.
constexpr const ShardFormat* shard_format_of(int32_t magic) {
  return magic == kShardU16.magic ? &kShardU16 : magic == kShardU32.magic ? &kShardU32 : nullptr;
}

// The narrower format that holds every id of a vocabulary of `vocab_size` entries.
constexpr const ShardFormat& shard_format_for(int64_t vocab_size) { return vocab_size > 65536 ? kShardU32 : kShardU16; }

// A shard on disk, open for reading. All functions that read its tokens throw what FileReader::read() throws. So a
// shard that is truncated, or whose disk fails, ends a run with a one-line error.
class Shard {
 public:
  // Throws UserError naming the file if it is missing, empty, truncated, not a shard, of unknown version or wrong size.
  explicit Shard(const std::filesystem::path& path);

  int64_t size() const { return size_; }  // tokens
  const ShardFormat& format() const { return *format_; }
  const std::filesystem::path& path() const { return file_.path(); }

  // The id of token i, 0 <= i < size(), as it is stored. The id is not checked against a vocabulary.
  uint32_t token(int64_t i) const;
  // Copies tokens [first, first + count) to out[0..count). An id above 2^31 - 1 becomes negative.
  void copy(int64_t first, int64_t count, int32_t* out) const;
  // Identifies the tokens. Covers all tokens if there are at most a million, otherwise 64 evenly spaced samples of
  // 1,024 tokens each.
  uint64_t checksum() const;

 private:
  // Reads tokens [first, first + count) as they are stored.
  void read(int64_t first, int64_t count, void* stored) const;

  FileReader file_;
  const ShardFormat* format_ = nullptr;
  int64_t size_ = 0;
};

// Appends `ids` to `stored`, encoded as in a shard of this format. Every id must fit into the format.
void store_tokens(std::span<const int32_t> ids, const ShardFormat& format, std::string& stored);

// The name of a shard while it is being written: PATH.partial, which a pattern such as train_*.bin does not match.
std::filesystem::path partial_path(const std::filesystem::path& path);

// Writes a shard to PATH.partial. The file stays there after an error or a kill, perhaps without the latest tokens.
// Throws Failure naming the file and the system's reason.
class ShardWriter {
 public:
  // Starts a new file, or continues after the first `tokens` tokens of an existing one and cuts off the rest. Throws
  // UserError if the file holds fewer.
  ShardWriter(const std::filesystem::path& path, const ShardFormat& format, int64_t tokens = 0);

  // `stored`: whole tokens from store_tokens().
  void append(std::string_view stored);
  int64_t size() const { return size_; }
  // Flushes all appended tokens to disk.
  void sync();
  // Writes the header and flushes: PATH.partial is a shard now. Nothing may be appended after that.
  void finish();

 private:
  std::filesystem::path path_;  // of the partial file
  const ShardFormat& format_;
  Descriptor fd_;
  int64_t size_ = 0;
};

// Renames a finished shard to its name.
void publish_shard(const std::filesystem::path& path);

}  // namespace gptmoe
