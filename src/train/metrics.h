#pragma once
// A run's metrics.jsonl. Each line is a row: a JSON object with a seal, chained to the preceding row. The file has each
// step at most once per kind of row. TensorBoard's event files get the same rows.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/descriptor.h"
#include "engine/step_result.h"
#include "inference/evaluate.h"
#include "inference/task_score.h"
#include "records/row_chain.h"
#include "train/event_file.h"

namespace gptmoe {

// The state of a run when a row is written.
struct Progress {
  int64_t step = 0;    // optimizer steps done
  int64_t tokens = 0;  // training tokens seen
  double seconds = 0;  // spent training, over all launches, without evaluation and checkpoints
  // The share of `tokens` that came from each source of a mixture; empty if there is one source.
  std::vector<std::pair<std::string, double>> source_shares = {};
  std::optional<int64_t> skipped_steps = {};  // so far; absent if the run never had train.skip_spikes
};

// Traffic between ranks in a step.
struct Communication {
  TrafficCosts step;  // `seconds`: time that training waited
  bool timed;         // whether `seconds` is known
};

// What a step costs, as far as the run measures it.
struct StepCosts {
  double tokens_per_second;
  double mfu;
  int64_t memory_bytes;  // negative: unknown
  std::optional<Communication> communication;
};

class MetricsFile {
 public:
  // Opens RUN/metrics.jsonl for appending, after cutting it back to what a checkpoint at `step` covers: train rows up
  // to and including the step, eval and tasks rows before it (those of the step itself come after its checkpoint), and
  // no row that a crash left incomplete. step = 0 starts an empty file. The file is truncated in place, so a program
  // that follows it can keep it open. With `tensorboard`, starts an event file that holds the rows from `step` on, and
  // earlier rows that no other event file holds. `last_row` is the checksum of the last row that the checkpoint covers.
  // The next row names it as its predecessor, so a loss of that row is detected. Shows progress on a terminal if there
  // are very many rows. Throws UserError if the file cannot be read or its rows are not in order, and Failure if it
  // cannot be written; the file then keeps its rows.
  MetricsFile(const std::filesystem::path& run_dir, int64_t step, bool tensorboard,
              const std::optional<std::string>& last_row = std::nullopt);
  MetricsFile(const MetricsFile&) = delete;
  MetricsFile& operator=(const MetricsFile&) = delete;

  // Each row reaches the file before the call returns. Throws Failure if it cannot, or if the file or the run's folder
  // has been removed, moved or replaced. Values that are not finite become null.
  void train(const Progress& progress, const StepResult& result, double lr, const StepCosts& costs);
  // loss_ema: the loss of the weights' moving average, if there is one.
  void eval(const Progress& progress, const EvalResult& result, std::optional<double> loss_ema = std::nullopt);
  void tasks(const Progress& progress, const std::vector<TaskScore>& scores, int64_t shots);
  // Records that the step after `progress` gave numbers that are not finite. The run ends here.
  void diverged(const Progress& progress);
  // The checksum of the last row; empty if there is none.
  const std::string& last_row() const { return last_row_; }
  // Flushes the rows so far to disk, before the checkpoint that covers them is written. Throws Failure as above.
  void sync();

 private:
  template <typename Row>
  void write_event(const Row& row);
  template <typename Row>
  void append(const Row& row);

  std::filesystem::path path_;
  Descriptor fd_;
  std::string last_row_;
  std::optional<EventFile> events_;
};

// The following functions throw UserError if the run has a metrics.jsonl that cannot be read. Those that look for one
// row read the last row first, and check no more rows than they read.

// What is wrong with the rows as a whole, one line each (records/row_chain.h).
std::vector<std::string> row_problems(const std::filesystem::path& run_dir, const std::optional<SavedRow>& saved);
// Throws the UserError of MetricsFile's constructor unless a run could continue from a checkpoint at `step`.
void require_rows_in_order(const std::filesystem::path& run_dir, int64_t step);
// Whether the run's metrics hold an evaluation at `step`.
bool has_eval_row(const std::filesystem::path& run_dir, int64_t step);
// Whether the run's metrics hold scores of train.tasks at `step`.
bool has_tasks_row(const std::filesystem::path& run_dir, int64_t step);
// The step of the last row; 0 if there is none.
int64_t last_logged_step(const std::filesystem::path& run_dir);
// The last step up to `step` that has a train row; 0 if none has.
int64_t last_train_row(const std::filesystem::path& run_dir, int64_t step);
// Whether the last row of the run's metrics reports a divergence.
bool has_diverged(const std::filesystem::path& run_dir);

}  // namespace gptmoe
