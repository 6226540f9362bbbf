#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "data/shard_file.h"

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

}  // namespace gptmoe
