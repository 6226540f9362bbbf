#pragma once
// What a run read, and the changes that were made to its config: RUN/history.json. records/run_history.h reads it. With
// it a resume can tell a change that was asked for from a file that was edited or replaced.
#include <filesystem>
#include <vector>

#include "config/data_source.h"
#include "data/loader.h"
#include "records/run_history.h"

namespace gptmoe {

// The shards of texts, or those that the patterns of sources match now, as history.json records them. Throws UserError
// if a shard is broken or is not as the manifest.json beside it says. Shows progress on a terminal if there are many
// shards.
std::vector<DataFile> data_files(const std::vector<NamedText>& texts);
std::vector<DataFile> data_files(const DataSources& sources);

// Throws UserError naming the first file of `now` that is not as it was `before`, or is in only one of the two lists.
// The message ends in "restore it, or " (or "remove it, or ") and `otherwise`.
void require_same_data(const std::vector<DataFile>& before, const std::vector<DataFile>& now,
                       const std::string& otherwise);

// The last entry with from_step < step, whose data are those that the run had read when it saved at `step`; null if
// there is none.
const HistoryEntry* entry_at(const RunHistory& record, int64_t step);

// Records that `entry` holds from entry.from_step on. Drops entries for later steps, as a run that returns to a
// checkpoint drops their metrics. An entry for the same step is replaced, but keeps its branched_from and
// initialized_from. If config and data are the same as in the previous entry, adds nothing, and only replaces that
// entry's folder and, if `entry` has one, its tokenizer. Throws Failure if it cannot be
// written.
void record_history(const std::filesystem::path& run_dir, HistoryEntry entry);

}  // namespace gptmoe
