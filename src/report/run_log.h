#pragma once
// One run as its directory describes it: the request (config.json) and the measurements (metrics.jsonl). Numbers that
// were not finite are null in the file and NaN here, so a run that diverged can still be reported.
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "records/metrics_rows.h"
#include "records/row_chain.h"
#include "records/run_history.h"

namespace gptmoe {

inline constexpr const char* kAnalysisFile = "analysis.json";
inline constexpr const char* kProvenanceFile = "provenance.json";
inline constexpr const char* kJobsFile = "jobs.json";  // of a run that compare --jobs trained: {"at_once": runs}

// The program and machine of the steps after `from_step`: an entry of provenance.json (train/provenance.h).
struct Provenance {
  int64_t from_step = 0;
  nlohmann::ordered_json build, machine;
  int64_t threads = 1, ranks = 1;
};

// Whether data.val names validation data: a pattern, a list, or several sets by name. "", {} and [] name none.
bool names_validation_data(const nlohmann::ordered_json& config);

struct RunLog {
  std::filesystem::path dir;
  nlohmann::ordered_json config;
  int64_t planned_steps = 0;        // config train.steps
  std::optional<int64_t> seed;      // config seed
  std::vector<TrainRow> train;      // tokens strictly increasing
  std::vector<EvalRow> evals;       // tokens strictly increasing; expert_load and router_entropy never change shape
  std::vector<TasksRow> tasks;      // tokens strictly increasing
  std::optional<int64_t> diverged;  // the step whose numbers were not finite, which ended the run
  std::optional<ThinnedRow> thinned;
  int64_t at_once = 1;                 // runs that trained on the machine at the same time, this one included
  std::vector<Provenance> provenance;  // empty for runs from before provenance.json existed
  std::vector<HistoryEntry> history;   // empty for runs from before history.json existed
  std::vector<std::string> problems;   // what is wrong with metrics.jsonl as a whole, one line each

  int64_t last_step() const;
  bool finished() const { return last_step() >= planned_steps; }
  // Whether the run has validation data, but no evaluation after its last planned step.
  bool lacks_last_eval() const;
  // Whether the run ended at a step without finite numbers, or its last validation loss is too large for a perplexity.
  bool has_diverged() const;
};

// Reads DIR/config.json, DIR/metrics.jsonl and, if present, DIR/jobs.json, DIR/provenance.json and DIR/history.json.
// Rows that are missing are among the run's problems (records/row_chain.h). A last line without a newline is incomplete
// and is left out. This is normal while a process trains the run, since the line is being written; otherwise it is a
// problem. Throws UserError (FILE:LINE: ...) at a malformed line: not an object, an unknown event, a field missing or
// of the wrong type, a step that does not advance, a shape that changes.
RunLog read_run(const std::filesystem::path& dir, const std::optional<SavedRow>& saved = std::nullopt);

}  // namespace gptmoe
