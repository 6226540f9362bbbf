#include "data/shard_seals.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/folder.h"
#include "base/seal.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::map<std::string, ShardSeal> read_seals(const fs::path& manifest) {
  std::map<std::string, ShardSeal> seals;
  if (!anything_at(manifest)) return seals;
  const std::string content = read_text_file(manifest);  // throws without the remedy below: the file may be intact
  const json root = with_remedy("restore it, or move it away to use the shards unchecked",
                                [&] { return parse_sealed_json(content, manifest.string()); });
  const auto text_at = [](const json& object, const char* key) {
    return object.is_object() && object.contains(key) && object[key].is_string() ? object[key].get<std::string>() : "";
  };
  if (!text_at(root, "format").starts_with(kManifestFormat)) return seals;
  for (const char* split : {"train", "val"}) {
    if (!root.contains(split) || !root[split].is_object() || !root[split].contains("shards")) continue;
    for (const json& shard : root[split]["shards"]) {
      const ShardSeal seal{text_at(shard, "checksum"), text_at(shard, "samples")};
      if (!seal.checksum.empty()) seals[text_at(shard, "file")] = seal;
    }
  }
  return seals;
}

[[noreturn]] void refuse(const Shard& shard) {
  user_error(shard.path().string(), ": does not match its checksum in ", kManifestName,
             ": it is damaged or was replaced; restore it or write it again");
}

}  // namespace

Checksum tokens_checksum(const fs::path& shard) {
  constexpr int64_t kPart = int64_t{4} << 20;
  const FileReader file(shard);
  Checksum checksum;
  std::vector<char> part(static_cast<size_t>(std::min(kPart, file.size())));
  for (int64_t at = kShardHeaderBytes; at < file.size(); at += kPart) {
    const int64_t bytes = std::min(kPart, file.size() - at);
    file.read(part.data(), bytes, at);
    checksum.update(part.data(), bytes);
  }
  return checksum;
}

const ShardSeal* ShardSeals::find(const fs::path& shard) {
  const fs::path folder = shard.parent_path();
  auto known = folders_.find(folder);
  if (known == folders_.end()) known = folders_.emplace(folder, read_seals(folder / kManifestName)).first;
  const auto seal = known->second.find(shard.filename().string());
  return seal == known->second.end() ? nullptr : &seal->second;
}

void ShardSeals::require_samples(const Shard& shard, uint64_t samples) {
  const ShardSeal* seal = find(shard.path());
  if (seal && seal->samples != checksum_text(samples)) refuse(shard);
}

void ShardSeals::require_whole(const Shard& shard) {
  const ShardSeal* seal = find(shard.path());
  if (seal && seal->checksum != checksum_text(tokens_checksum(shard.path()).value())) refuse(shard);
}

int64_t unsealed_shards(const std::vector<NamedText>& texts) {
  ShardSeals seals;
  int64_t unsealed = 0;
  for (const NamedText& text : texts)
    for (const Shard& shard : text.loader.shard_files()) unsealed += seals.find(shard.path()) ? 0 : 1;
  return unsealed;
}

}  // namespace gptmoe
