#include "train/run_history.h"

#include <algorithm>

#include "base/checksum.h"
#include "base/file.h"
#include "base/seal.h"
#include "base/slow_job.h"
#include "data/shard_seals.h"
#include "records/record_json.h"

namespace gptmoe {
namespace {

DataFile data_file(const Shard& shard, uint64_t checksum) {
  return {shard.path().string(), shard.size(), checksum_text(checksum)};
}

}  // namespace

std::vector<DataFile> data_files(const std::vector<NamedText>& texts) {
  std::vector<DataFile> files;
  for (const auto& [name, loader] : texts) {
    const std::vector<uint64_t>& checksums = loader.checksums();
    for (size_t i = 0; i < checksums.size(); ++i) files.push_back(data_file(loader.shard_files()[i], checksums[i]));
  }
  return files;
}

std::vector<DataFile> data_files(const DataSources& sources) {
  std::vector<DataFile> files;
  std::vector<std::filesystem::path> paths;
  for (const DataSource& source : sources)
    for (std::filesystem::path& path : glob_files(source.path)) paths.push_back(std::move(path));
  SlowJob job("checksums of " + labels(sources), std::ssize(paths));
  ShardSeals seals;
  for (const std::filesystem::path& path : paths) {
    const Shard shard(path);
    const uint64_t checksum = shard.checksum();
    seals.require_samples(shard, checksum);
    files.push_back(data_file(shard, checksum));
    job.advance();
  }
  return files;
}

void require_same_data(const std::vector<DataFile>& before, const std::vector<DataFile>& now,
                       const std::string& otherwise) {
  const std::string remedy = " it, or " + otherwise;
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
  if (!adds && history.size() == before && history.back().folder == entry.folder &&
      (entry.tokenizer.empty() || history.back().tokenizer == entry.tokenizer))
    return;
  if (adds) {
    history.push_back(std::move(entry));
  } else {
    history.back().folder = entry.folder;
    if (!entry.tokenizer.empty()) history.back().tokenizer = std::move(entry.tokenizer);
  }
  write_text_file(run_dir / kHistoryFile, sealed(record_json(record).dump(2)));
}

}  // namespace gptmoe
