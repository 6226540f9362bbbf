#pragma once
// What a run read, and how its config was changed on the way: RUN/history.json (records/run_history.h). With it a
// resume can tell a change that was asked for from a file that was edited or replaced.
#include <filesystem>
#include <vector>

#include "data/loader.h"
#include "records/run_history.h"

namespace gptmoe {

// Empty if the run is older than the record. Throws UserError if the file cannot be read.
RunHistory read_history(const std::filesystem::path& run_dir);

// The shards of a loader, as history.json records them.
std::vector<DataFile> data_files(const TokenLoader& loader);

// Throws UserError naming the first file of `now` that is not as it was `before`, or is in only one of the two lists.
// `key` is the config key of the pattern.
void require_same_data(const std::vector<DataFile>& before, const std::vector<DataFile>& now, const char* key);

// Whether the two lists hold the same tokens in the same order, whatever the paths.
bool same_tokens(const std::vector<DataFile>& a, const std::vector<DataFile>& b);

// The last entry with from_step < step, whose data are those that the run had read when it saved at `step`; null if
// there is none.
const HistoryEntry* entry_at(const RunHistory& record, int64_t step);

// Records that `entry` holds from entry.from_step on. Drops entries for later steps, as a run that returns to a
// checkpoint drops their metrics. An entry for the same step is replaced, but keeps its branched_from and
// initialized_from. Adds nothing if the config did not change and the data are those of the previous entry. Throws
// Failure if it cannot be written.
void record_history(const std::filesystem::path& run_dir, HistoryEntry entry);

}  // namespace gptmoe
