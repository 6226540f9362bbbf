#pragma once
// RUN/history.json: what a run read, and the changes that were made to its config.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json_value.h"
#include "records/record.h"

namespace gptmoe {

inline constexpr const char* kHistoryFile = "history.json";

struct ConfigChange {
  JsonValue was, is;
  bool operator==(const ConfigChange&) const = default;
};

// A shard as it was when the run read it.
struct DataFile {
  std::string path;
  int64_t tokens = 0;
  std::string checksum;
  bool operator==(const DataFile&) const = default;
};

// Weights as they were when a run started from them.
struct StartingWeights {
  std::string checkpoint;
  std::string checksum;
  bool operator==(const StartingWeights&) const = default;
};

struct HistoryEntry {
  int64_t from_step = 0;
  std::optional<std::string> branched_from;
  std::optional<StartingWeights> initialized_from;
  std::optional<std::string> folder;
  Named<ConfigChange> changes;
  std::vector<DataFile> train, val;
  Named<std::string> tokenizer;
};

struct RunHistory {
  std::vector<HistoryEntry> history;  // from_step increases
};

// A run's history.json; empty if the run has none. Throws UserError if the file cannot be read.
RunHistory read_history(const std::filesystem::path& run_dir);

// Whether the two lists hold the same tokens in the same order. The paths may differ.
bool same_tokens(const std::vector<DataFile>& a, const std::vector<DataFile>& b);

template <typename Visitor, Is<ConfigChange> Record>
void visit_fields(Visitor& visitor, Record& change) {
  visitor.field("was", change.was, "Value before the change.");
  visitor.field("is", change.is, "Value after the change.");
}

template <typename Visitor, Is<DataFile> Record>
void visit_fields(Visitor& visitor, Record& file) {
  visitor.field("path", file.path, "The shard's path, as the config's pattern gives it.");
  visitor.field("tokens", file.tokens, "Tokens in the shard.");
  visitor.field("checksum", file.checksum,
                "Checksum of the shard's tokens: of all tokens, or of evenly spread samples if there are many.");
}

template <typename Visitor, Is<StartingWeights> Record>
void visit_fields(Visitor& visitor, Record& weights) {
  visitor.field("checkpoint", weights.checkpoint, "Absolute path of the checkpoint or Hugging Face folder.");
  visitor.field("checksum", weights.checksum, "Checksum of the weight files at that path.");
}

template <typename Visitor, Is<HistoryEntry> Record>
void visit_fields(Visitor& visitor, Record& entry) {
  visitor.field("from_step", entry.from_step,
                "The entry holds for the steps after this one, up to the from_step of the next entry.");
  visitor.maybe("branched_from", entry.branched_from, "The checkpoint from which this run was branched.");
  visitor.maybe("initialized_from", entry.initialized_from, "The weights that this run started from.");
  visitor.maybe("folder", entry.folder,
                "The folder in which the run was started or last resumed; the config's relative paths are relative to "
                "it.");
  visitor.field("changes", entry.changes, "Config keys that changed at this step.");
  visitor.field("train", entry.train, "The training shards.");
  visitor.field("val", entry.val, "The validation shards.");
  visitor.maybe("tokenizer", entry.tokenizer,
                "Checksum of each file of the run's tokenizer, by its name in the run's folder.");
}

template <typename Visitor, Is<RunHistory> Record>
void visit_fields(Visitor& visitor, Record& history) {
  visitor.field("history", history.history,
                "One entry for the start of the run, and one for each resume that changed something.");
}

}  // namespace gptmoe
