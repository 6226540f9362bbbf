#include "train/run_history.h"

#include <algorithm>

#include "base/checksum.h"
#include "base/file.h"
#include "base/read_json.h"
#include "records/record_json.h"

namespace gptmoe {
namespace {

std::filesystem::path history_path(const std::filesystem::path& run_dir) { return run_dir / kHistoryFile; }

}  // namespace

RunHistory read_history(const std::filesystem::path& run_dir) {
  const std::filesystem::path path = history_path(run_dir);
  if (!std::filesystem::exists(path)) return {};
  return with_remedy("restore it, or remove it to continue without a record of data and config changes",
                     [&] { return read_record<RunHistory>(read_json<nlohmann::ordered_json>(path), path.string()); });
}

std::vector<DataFile> data_files(const TokenLoader& loader) {
  std::vector<DataFile> files;
  for (const Shard& shard : loader.shard_files())
    files.push_back({shard.path().string(), shard.size(), checksum_text(shard.checksum())});
  return files;
}

void require_same_data(const std::vector<DataFile>& before, const std::vector<DataFile>& now, const char* key) {
  const std::string remedy = text(" it, or give the new data under another path with --set ", key, "=...");
  const auto find = [](const std::vector<DataFile>& files, const std::string& path) {
    return std::find_if(files.begin(), files.end(), [&](const DataFile& file) { return file.path == path; });
  };
  for (const DataFile& file : before) {
    const auto same = find(now, file.path);
    if (same == now.end()) user_error(file.path, ": the run read this file and it is no longer there; restore", remedy);
    if (*same != file) user_error(file.path, ": has other tokens than when the run read it; restore", remedy);
  }
  for (const DataFile& file : now)
    if (find(before, file.path) == before.end()) user_error(file.path, ": is new since the run began; remove", remedy);
}

bool same_tokens(const std::vector<DataFile>& a, const std::vector<DataFile>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const DataFile& one, const DataFile& other) {
    return one.tokens == other.tokens && one.checksum == other.checksum;
  });
}

const HistoryEntry* entry_at(const RunHistory& record, int64_t step) {
  const HistoryEntry* last = nullptr;
  for (const HistoryEntry& entry : record.history)
    if (entry.from_step < step) last = &entry;
  return last;
}

void record_history(const std::filesystem::path& run_dir, HistoryEntry entry) {
  RunHistory record = read_history(run_dir);
  auto& history = record.history;
  const size_t before = history.size();
  while (!history.empty() && history.back().from_step >= entry.from_step) {
    if (history.back().from_step == entry.from_step) {
      entry.branched_from = history.back().branched_from;
      if (!entry.initialized_from) entry.initialized_from = history.back().initialized_from;
    }
    history.pop_back();
  }
  const bool adds = history.empty() || !entry.changes.empty() || entry.branched_from ||
                    history.back().train != entry.train || history.back().val != entry.val;
  if (!adds && history.size() == before) return;
  if (adds) history.push_back(std::move(entry));
  write_text_file(history_path(run_dir), record_json(record).dump(2) + "\n");
}

}  // namespace gptmoe
