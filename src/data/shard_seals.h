#pragma once
// The checksums of shards that gptmoe-tokenize keeps in the manifest.json beside them. Every reader of shards compares
// them before it uses a token.
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "base/checksum.h"
#include "data/loader.h"
#include "data/shard_file.h"

namespace gptmoe {

inline constexpr const char* kManifestName = "manifest.json";
inline constexpr const char* kManifestFormat = "gptmoe-tokenize ";  // start of its "format"; the command follows

struct ShardSeal {
  std::string checksum;  // tokens_checksum()
  std::string samples;   // Shard::checksum()
  bool operator==(const ShardSeal&) const = default;
};

// The checksum of all bytes after the shard's header: its tokens as they are stored. Throws what FileReader throws.
Checksum tokens_checksum(const std::filesystem::path& shard);

// Reads each manifest once.
class ShardSeals {
 public:
  // The seal of the shard in the manifest.json beside it. Null if there is no such file, if another program or an older
  // version of gptmoe-tokenize wrote it, or if it does not name the shard. Throws UserError naming the manifest if it
  // is damaged or cannot be read.
  const ShardSeal* find(const std::filesystem::path& shard);
  // Both throw UserError naming the shard if it has a seal and is not the shard that was sealed. require_samples()
  // compares `samples`, the value of shard.checksum(). require_whole() reads all tokens and compares their checksum.
  void require_samples(const Shard& shard, uint64_t samples);
  void require_whole(const Shard& shard);

 private:
  std::map<std::filesystem::path, std::map<std::string, ShardSeal>> folders_;
};

// How many shards of the texts have no seal.
int64_t unsealed_shards(const std::vector<NamedText>& texts);

}  // namespace gptmoe
