#pragma once
// Writes RUN/history.json: what a run read, and the changes that were made to its config. records/run_history.h reads
// it. The record lets a resume distinguish requested changes from files that were edited or replaced.
#include <filesystem>
#include <vector>

#include "config/data_source.h"
#include "data/loader.h"
#include "records/run_history.h"

namespace gptmoe {

// Describes shards in the form that history.json records: the shards of `texts`, or those that the patterns of
// `sources` match now. Throws UserError if a shard is broken or differs from what the manifest.json beside it says.
// Shows progress on a terminal if there are many shards.
std::vector<DataFile> data_files(const std::vector<NamedText>& texts);
std::vector<DataFile> data_files(const DataSources& sources);

// Throws UserError if the two lists differ. The message names the first file that has different tokens, or that is in
// only one list. It ends with "restore it, or " or "remove it, or ", followed by `otherwise`.
void require_same_data(const std::vector<DataFile>& before, const std::vector<DataFile>& now,
                       const std::string& otherwise);

// The last entry with from_step < step; null if there is none. It lists the data that the run had read when it saved at
// `step`.
const HistoryEntry* entry_at(const RunHistory& record, int64_t step);

// Adds `entry` to history.json. The entry holds for the steps after entry.from_step. Removes the entries of later
// steps, since the run has returned to an earlier checkpoint. Replaces an entry of the same step, but keeps the
// branched_from and initialized_from of the old entry. If `entry` changes neither config nor data, adds no entry: only
// copies its folder and its tokenizer, if it has one, to the preceding entry. Throws Failure if the file cannot be
// written.
void record_history(const std::filesystem::path& run_dir, HistoryEntry entry);

}  // namespace gptmoe
