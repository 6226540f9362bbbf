#include "cli/compare_data.h"

#include <cstdio>
#include <map>
#include <optional>

#include "base/check.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/json.h"
#include "base/printable.h"
#include "records/run_folder.h"
#include "train/run_directory.h"
#include "train/run_history.h"
#include "train/start_weights.h"

namespace gptmoe {
namespace {

using Files = std::vector<DataFile>;

// The shards that sources match now; each list of sources is looked up once.
class ShardsNow {
 public:
  const Files& matching(const DataSources& sources) {
    const std::string key = to_json(sources).dump();
    const auto known = files_.find(key);
    return known != files_.end() ? known->second : files_.emplace(key, data_files(sources)).first->second;
  }

 private:
  std::map<std::string, Files> files_;
};

// The checksums of the weights that train.init_from names now; each is computed once.
class StartsNow {
 public:
  const std::string& checksum(const std::string& init_from) {
    const auto known = checksums_.find(init_from);
    if (known != checksums_.end()) return known->second;
    return checksums_.emplace(init_from, start_checksum(resolve_start(init_from))).first->second;
  }

 private:
  std::map<std::string, std::string> checksums_;
};

struct KindOfData {
  const char* key;
  DataSources DataConfig::*sources;
  Files HistoryEntry::*files;
};
constexpr KindOfData kTrain{"data.train", &DataConfig::train, &HistoryEntry::train};
constexpr KindOfData kVal{"data.val", &DataConfig::val, &HistoryEntry::val};

std::string remedy_of(const RunOnData& run) {
  return text("train ", run.dir.string(), " anew with --restart, or choose another --out");
}

// Two checksums: of the weights that the existing run started from, and of the weights at init_from now. They are equal
// if nothing is at init_from any more.
std::pair<std::string, std::string> start_weights(const RunOnData& run, const RunHistory& record, StartsNow& starts) {
  const std::optional<StartingWeights>& was = record.history.front().initialized_from;
  if (run.init_from.empty() || !was) return {};
  if (!anything_at(run.init_from)) return {was->checksum, was->checksum};
  return {was->checksum, starts.checksum(run.init_from)};
}

// Throws UserError if the existing run ever read data that differ from the files `now`.
void require_read(const RunOnData& run, const RunHistory& record, const KindOfData& kind, const Files& now) {
  const HistoryEntry& last = record.history.back();
  if (!now.empty()) require_same_data(last.*kind.files, now, remedy_of(run));
  for (const HistoryEntry& entry : record.history)
    if (!same_tokens(entry.*kind.files, last.*kind.files))
      user_error(run.dir.string(), ": read different ", kind.key, " until step ", last.from_step, "; ", remedy_of(run));
}

// Whether the existing run used the start weights and data that it would use now. If not, throws UserError unless
// `restart` is set. Always throws if they cannot be read.
bool is_current(const RunOnData& run, const RunHistory& record, ShardsNow& now, StartsNow& starts, bool restart) {
  const auto [was, is] = start_weights(run, record, starts);
  if (was != is && restart) return false;
  if (was != is)
    user_error(run.init_from, ": has other weights than those from which ", run.dir.string(),
               " started; restore them, or ", remedy_of(run));
  for (const KindOfData& kind : {kTrain, kVal}) {
    const DataSources& sources = run.data.*kind.sources;
    if (sources.empty()) continue;
    const Files& files = now.matching(sources);  // outside the try: an unreadable shard says nothing about the run
    try {
      require_read(run, record, kind, files);
    } catch (const UserError&) {
      if (restart) return false;
      throw;
    }
  }
  return true;
}

// How the run mixes its sources: the number of shards of each source (0 if there is only one source) and its share. A
// different mixture puts the tokens in a different order.
struct Mixture {
  std::vector<size_t> shards;
  std::vector<double> weights, epochs;
  bool operator==(const Mixture&) const = default;
};

Mixture mixture_of(const RunOnData& run) {
  Mixture mixture;
  for (const DataSource& source : run.data.train) {
    mixture.shards.push_back(run.data.train.size() == 1 ? 0 : glob_files(source.path).size());
    mixture.weights.push_back(source.weight);
    mixture.epochs.push_back(source.epochs > 0 ? source.epochs : 1);
  }
  return mixture;
}

void require_same_mixture(const RunOnData& run, const RunOnData& first) {
  if (mixture_of(run) != mixture_of(first))
    user_error(run.label, ": data.train mixes its sources differently from ", first.label,
               "; a comparison needs the same data: give both the same data.train");
}

// Without a mask, a token also sees the documents before its own. So losses with and without a mask cannot be compared.
void require_same_mask(const RunOnData& run, const RunOnData& first) {
  if (run.data.document_end() == first.data.document_end()) return;
  const bool mask = run.data.document_mask != first.data.document_mask;
  user_error(run.label, ": ", mask ? "data.document_mask" : "data.end_of_text", " differs from that of ", first.label,
             ", so their losses cannot be compared; give both the same value");
}

}  // namespace

std::set<std::filesystem::path> runs_on_other_data(const std::vector<RunOnData>& runs, bool restart) {
  ShardsNow now;
  StartsNow starts;
  std::set<std::filesystem::path> others;
  std::map<const char*, std::pair<const RunOnData*, Files>> first;  // by key: the first run and its files
  for (const RunOnData& run : runs) {
    require_same_mixture(run, runs[0]);
    require_same_mask(run, runs[0]);
    const bool there = holds_run(run.dir);
    RunHistory record = there ? read_history(run.dir) : RunHistory{};
    if (there && record.history.empty()) {
      std::printf("note        %s: has no history.json, so its data cannot be checked\n",
                  printable(run.dir.string()).c_str());
      continue;
    }
    if (there && !is_current(run, record, now, starts, restart)) {
      others.insert(run.dir);
      record = {};
    }
    for (const KindOfData& kind : {kTrain, kVal}) {
      const Files& reads =
          record.history.empty() ? now.matching(run.data.*kind.sources) : record.history.back().*kind.files;
      if (reads.empty()) continue;
      const auto [other, fresh] = first.try_emplace(kind.key, &run, reads);
      if (!fresh && !same_tokens(other->second.second, reads))
        user_error(run.label, ": ", kind.key, " ", reads[0].path, " has other tokens than ",
                   other->second.second[0].path, " of ", other->second.first->label,
                   "; a comparison needs the same data: give both the same ", kind.key);
    }
  }
  return others;
}

}  // namespace gptmoe
