#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/seal.h"
#include "data/shard_file.h"
#include "data/shard_seals.h"

namespace gptmoe {

// Writes a complete shard of these tokens, in the format for `vocab_size`.
inline void write_shard(const std::filesystem::path& path, int64_t vocab_size, const std::vector<int32_t>& tokens) {
  const ShardFormat& format = shard_format_for(vocab_size);
  std::string stored;
  store_tokens(tokens, format, stored);
  ShardWriter writer(path, format);
  writer.append(stored);
  writer.finish();
  publish_shard(path);
}

// Writes a manifest.json with the seals of these training shards, as gptmoe-tokenize does.
inline void seal_shards(const std::filesystem::path& folder, const std::vector<std::string>& names) {
  nlohmann::json shards = nlohmann::json::array();
  for (const std::string& name : names)
    shards.push_back({{"file", name},
                      {"checksum", checksum_text(tokens_checksum(folder / name).value())},
                      {"samples", checksum_text(Shard(folder / name).checksum())}});
  const nlohmann::json manifest = {{"format", "gptmoe-tokenize encode"}, {"train", {{"shards", shards}}}};
  write_text_file(folder / kManifestName, sealed(manifest.dump(2)));
}

}  // namespace gptmoe
