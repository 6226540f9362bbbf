#include "train/run_inputs.h"

#include <algorithm>

#include "base/check.h"
#include "base/checksum.h"
#include "base/file.h"
#include "base/folder.h"
#include "base/joined.h"
#include "checkpoint/checkpoint.h"
#include "records/run_folder.h"
#include "tokenizer/tokenizer_file.h"
#include "train/run_history.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOtherTokenizer = "restore it, or pass --tokenizer FILE";

// A tokenizer.json may be passed under any name; in the run it is always called tokenizer.json.
std::string name_in_run(const fs::path& file, size_t files) {
  return files == 1 && file.extension() == ".json" ? "tokenizer.json" : file.filename().string();
}

// The entry of history.json for the checkpoint, if the checkpoint is in a run that has this file.
std::optional<HistoryEntry> entry_of(const fs::path& checkpoint) {
  const std::optional<fs::path> run = run_of_checkpoint(checkpoint);
  if (!run) return std::nullopt;
  const RunHistory record = read_history(*run);
  const HistoryEntry* entry = entry_at(record, read_checkpoint_state(checkpoint).step);
  return entry ? std::optional(*entry) : std::nullopt;
}

// Where to look for a path of the config: the path as it is given and, if it is relative, below the folder in which the
// run was trained.
std::vector<std::string> places_of(const std::string& path, const std::optional<HistoryEntry>& entry) {
  std::vector<std::string> places = {path};
  if (entry && entry->folder && fs::path(path).is_relative())
    if (const std::string absolute = fs::path(*entry->folder) / path; absolute != fs::absolute(path))
      places.push_back(absolute);
  return places;
}

// Throws UserError, with the remedy, if the tokenizer at `path` is not the one that the run's history.json records.
void require_recorded(const fs::path& run_dir, const fs::path& path, const char* remedy) {
  Named<std::string> recorded;
  for (HistoryEntry& entry : read_history(run_dir).history)
    if (!entry.tokenizer.empty()) recorded = std::move(entry.tokenizer);
  if (recorded.empty()) return;
  const Named<std::string> found = tokenizer_checksums(read_tokenizer_files(path));
  const std::vector<fs::path> files = tokenizer_files(path);
  for (size_t i = 0; i < found.size(); ++i)
    if (std::find(recorded.begin(), recorded.end(), found[i]) == recorded.end())
      user_error(files[i].string(), ": not the tokenizer with which the run began, according to the checksum in ",
                 (run_dir / kHistoryFile).string(), "; ", remedy);
}

}  // namespace

TokenizerCopy read_tokenizer_files(const fs::path& path) {
  TokenizerCopy copy{path, {}};
  if (path.empty()) return copy;
  const std::vector<fs::path> files = tokenizer_files(path);
  for (const fs::path& file : files) copy.files.emplace_back(name_in_run(file, files.size()), read_text_file(file));
  return copy;
}

Named<std::string> tokenizer_checksums(const TokenizerCopy& tokenizer) {
  Named<std::string> checksums;
  for (const auto& [name, content] : tokenizer.files) checksums.emplace_back(name, checksum_text(checksum_of(content)));
  return checksums;
}

void require_recorded_tokenizer(const fs::path& run_dir) { require_recorded(run_dir, run_dir, "restore it"); }

void require_same_tokenizer(const fs::path& run_dir, const TokenizerCopy& tokenizer) {
  require_recorded_tokenizer(run_dir);
  const auto& files = tokenizer.files;
  if (files.empty()) return;
  for (const fs::path& copy : tokenizer_files(run_dir)) {
    const auto same =
        std::find_if(files.begin(), files.end(), [&](const auto& file) { return copy.filename() == file.first; });
    if (same == files.end() || read_text_file(copy) != same->second)
      user_error(tokenizer.source.string(), ": differs from ", copy.string(),
                 ", the tokenizer with which the run began; restore it, or correct data.tokenizer");
  }
  require_recorded(run_dir, tokenizer.source, "restore it, or correct data.tokenizer");
}

void keep_tokenizer(const fs::path& run_dir, const TokenizerCopy& tokenizer) {
  require_same_tokenizer(run_dir, tokenizer);
  for (const auto& [name, content] : tokenizer.files)
    if (!anything_at(run_dir / name)) write_text_file(run_dir / name, content);
}

fs::path find_tokenizer(const fs::path& checkpoint, const Config& config) {
  const std::optional<fs::path> run = run_of_checkpoint(checkpoint);
  std::vector<fs::path> folders = {checkpoint};
  if (run) folders.push_back(*run);
  for (const fs::path& folder : folders)
    if (const std::vector<fs::path> files = tokenizer_files(folder); !files.empty()) {
      if (folder == checkpoint)
        for (const fs::path& file : files) verify_checkpoint_file(file);
      else
        require_recorded(*run, folder, kOtherTokenizer);
      return files[0];
    }
  const std::string& named = config.data.tokenizer;
  if (named.empty()) throw NoTokenizer("the run's config names no tokenizer; pass --tokenizer FILE");
  const std::vector<std::string> places = places_of(named, entry_of(checkpoint));
  for (const std::string& place : places)
    if (!tokenizer_files(place).empty()) {
      if (run) require_recorded(*run, place, kOtherTokenizer);
      return place;
    }
  throw NoTokenizer(text(run.value_or(checkpoint).string(), ": holds no copy of its tokenizer, and there is none at ",
                         joined(places, " or "), "; pass --tokenizer FILE"));
}

void require_shards_here(const fs::path& run_dir, const Config& config) {
  const RunHistory record = read_history(run_dir);
  if (record.history.empty()) return;
  const std::pair<const char*, const DataSources*> kinds[] = {{"data.train", &config.data.train},
                                                              {"data.val", &config.data.val}};
  for (const auto& [key, sources] : kinds)
    for (const DataSource& source : *sources) {
      if (!glob_files(source.path).empty()) continue;
      const std::vector<std::string> places = places_of(source.path, record.history.back());
      if (places.size() > 1 && !glob_files(places[1]).empty())
        user_error(key, ": ", source.path, ": no file matches here, but some do in ", *record.history.back().folder,
                   ", where the run was trained; continue it from there, or add --set ", key, "=",
                   sources->size() == 1 ? places[1] : "... with absolute paths");
    }
}

FoundShards find_validation_shards(const fs::path& checkpoint, const Config& config) {
  const DataSources& here = config.data.val;
  if (here.empty()) user_error("the run has no validation data; pass --data GLOB");
  const std::optional<HistoryEntry> entry = entry_of(checkpoint);
  DataSources there = here;
  for (DataSource& source : there) source.path = places_of(source.path, entry).back();
  std::vector<const DataSources*> places = {&here};
  if (there != here) places.push_back(&there);
  const DataSources* found = nullptr;
  std::vector<std::string> tried;
  for (const DataSources* place : places) {
    bool all = true;
    for (const DataSource& source : *place)
      if (glob_files(source.path).empty()) {
        all = false;
        tried.push_back(source.path);
      }
    if (!all) continue;
    if (!entry || same_tokens(data_files(*place), entry->val)) return {*place, ""};
    if (!found) found = place;
  }
  if (!found)
    user_error(joined(tried, " or "), ": no file matches; restore the run's validation shards, or pass --data GLOB");
  return {*found, labels(*found) + (found->size() == 1 ? " holds" : " hold") + " other tokens than when the run read " +
                      (found->size() == 1 ? "it" : "them")};
}

}  // namespace gptmoe
