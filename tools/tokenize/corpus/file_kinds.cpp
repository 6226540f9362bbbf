#include "corpus/file_kinds.h"

#include <algorithm>
#include <initializer_list>
#include <string>

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

bool is_one_of(const fs::path& extension, std::initializer_list<const char*> list) {
  return std::find(list.begin(), list.end(), extension) != list.end();
}

fs::path lower_case(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return name;
}

}  // namespace

std::optional<TextFormat> text_format(const fs::path& path) {
  const bool gzip = path.extension() == ".gz", zstd = path.extension() == ".zst";
  const fs::path kind = (gzip || zstd ? path.stem() : path).extension();
  const bool json_lines = is_one_of(kind, {".jsonl", ".ndjson", ".json"});
  if (!json_lines && kind != ".txt") return std::nullopt;
  return TextFormat{json_lines, gzip ? Compression::gzip : zstd ? Compression::zstd : Compression::none};
}

bool describes_data_set(const fs::path& path) {
  return is_one_of(path.filename(), {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"});
}

std::optional<std::string_view> remedy_for_unread(const fs::path& path) {
  if (text_format(path)) return std::nullopt;
  const fs::path name = lower_case(path.filename().string());
  const bool packed = is_one_of(name.extension(), {".gz", ".zst"});
  const fs::path kind = (packed ? name.stem() : name).extension();
  if (is_one_of(kind, {".parquet", ".arrow", ".feather"})) return "convert it with tools/parquet_to_jsonl.py";
  if (is_one_of(kind, {".avro", ".orc", ".csv", ".tsv", ".tfrecord", ".warc"}))
    return "convert it to JSON lines (.jsonl)";
  if (is_one_of(kind, {".zip", ".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar"})) return "unpack it";
  if (is_one_of(kind, {".bz2", ".xz", ".lzma", ".lz4", ".br", ".z"})) return "pack it with gzip or zstd instead";
  if (packed || kind == ".zstd" || kind == ".text" || text_format(name))
    return "rename it to end in .txt or .jsonl, and then .gz or .zst if compressed";
  return std::nullopt;
}

}  // namespace gptmoe
