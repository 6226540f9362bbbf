#pragma once
// One run as its directory tells it: what was asked for (config.json) and what was measured (metrics.jsonl).
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace gptmoe {

inline constexpr const char* kAnalysisFile = "analysis.json";
inline constexpr const char* kProvenanceFile = "provenance.json";
inline constexpr const char* kJobsFile = "jobs.json";  // of a run that compare --jobs trained: {"at_once": runs}

// A value that was not finite is written as null by the trainer and read back as NaN: a run that diverged still
// reports.
struct TrainRow {
  int64_t step = 0;
  int64_t tokens = 0;  // training tokens so far
  double seconds = 0;  // wall-clock training time so far
  double loss = 0;     // nats per token, without auxiliary terms
  double lr = 0;
  double grad_norm = 0;  // before clipping
  double tokens_per_second = 0;
  std::optional<double> mfu;  // model FLOP/s over the device's peak (CPU: its measured matrix rate)
  // Absent in dense models:
  std::optional<double> load_balance_loss;                 // 1 = balanced
  std::optional<double> expert_load_max, expert_load_min;  // share of a layer's assignments, over all layers
};

// The logged val_perplexity is exp(val_loss); it is derived here, so that two numbers cannot disagree.
struct EvalRow {
  int64_t step = 0;
  int64_t tokens = 0;
  double seconds = 0;
  double val_loss = 0;                           // nats per token
  std::vector<std::vector<double>> expert_load;  // [MoE layer][expert] shares of the assignments; empty in dense models
  std::vector<double> router_entropy;            // [MoE layer] nats; empty in dense models
};

// Says that train rows have been taken out, and what all of them told (tools/thin_runs.sh).
struct ThinnedRow {
  int64_t train_rows = 0;
  std::optional<int64_t> loss_spikes;  // loss_spikes() of comparison.h
};

// What trained the steps after `from_step`: an entry of provenance.json (train/provenance.h).
struct Provenance {
  int64_t from_step = 0;
  nlohmann::ordered_json build, machine;
  int64_t threads = 1, ranks = 1;
};

struct RunLog {
  std::filesystem::path dir;
  nlohmann::ordered_json config;
  int64_t planned_steps = 0;        // config train.steps
  std::optional<int64_t> seed;      // config seed
  std::vector<TrainRow> train;      // tokens strictly increasing
  std::vector<EvalRow> evals;       // tokens strictly increasing, one shape of expert_load and router_entropy
  std::optional<int64_t> diverged;  // the step that came to no finite numbers and ended the run
  std::optional<ThinnedRow> thinned;
  int64_t at_once = 1;                 // runs that trained on the machine at a time, this one included
  std::vector<Provenance> provenance;  // empty of runs older than the record
  // What `gptmoe analyze` wrote (report/analysis_log.h); null without, discarded where it is not JSON.
  nlohmann::ordered_json analysis;

  int64_t last_step() const;
  bool finished() const { return last_step() >= planned_steps; }
  // It ended at a step without finite numbers, or its last validation loss is beyond what a perplexity can say.
  bool has_diverged() const;
};

// Reads DIR/config.json, DIR/metrics.jsonl and, where they are, DIR/analysis.json, DIR/jobs.json and
// DIR/provenance.json. A last line without its newline that does not parse was cut short by a crash and is ignored.
// Throws UserError (FILE:LINE: ...) at any other malformed line: not an object, an unknown event, a field missing or of
// the wrong type, a step that does not advance, a shape that changes.
RunLog read_run(const std::filesystem::path& dir);

}  // namespace gptmoe
