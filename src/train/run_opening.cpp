#include "train/run_opening.h"

#include <cstdio>

#include "base/check.h"
#include "base/printable.h"
#include "checkpoint/checkpoint.h"
#include "records/metrics_file.h"
#include "train/metrics.h"
#include "train/provenance.h"
#include "train/run_directory.h"
#include "train/run_history.h"
#include "train/run_inputs.h"

namespace gptmoe {
namespace {

struct Saved {
  int64_t step;
  Config config;
  std::optional<std::string> last_row;
  bool sources_known = false;  // whether the checkpoint identifies each source by its shards
};

void note(const std::string& line) { std::printf("note: %s\n", printable(line).c_str()); }

// Prints a note if rows are gone because the file was cut short or lines were removed.
void note_lost_rows(const std::filesystem::path& run_dir, const Saved& checkpoint) {
  std::optional<SavedRow> last_row;
  if (checkpoint.last_row) last_row = {checkpoint.step, *checkpoint.last_row};
  for (const std::string& problem : row_problems(run_dir, last_row)) note(problem);
  if (last_row) return;
  const int64_t every = checkpoint.config.log.every, last = last_train_row(run_dir, checkpoint.step);
  if (every > 0 && checkpoint.step - last >= every)
    note(text((run_dir / kMetricsFile).string(), ": has no rows for steps ", last + 1, " to ", checkpoint.step,
              "; restore the file from a copy"));
}

// Throws UserError if files that the run read have changed. Returns whether training must read every source from its
// beginning: the shards, or their division into sources, have changed, and the checkpoint does not identify the
// sources.
bool check_data(const std::filesystem::path& run_dir, const Saved& checkpoint, const Config& given,
                const HistoryEntry& now) {
  const RunHistory record = read_history(run_dir);
  const HistoryEntry* before = entry_at(record, checkpoint.step);
  if (!before) return false;
  const DataConfig& saved = checkpoint.config.data;
  const auto other_path = [](const char* key) {
    return text("give the new data under another path with --set ", key, "=...");
  };
  if (saved.train == given.data.train) require_same_data(before->train, now.train, other_path("data.train"));
  if (saved.val == given.data.val) require_same_data(before->val, now.val, other_path("data.val"));
  if (checkpoint.sources_known) return false;
  if (same_tokens(before->train, now.train) && saved.train.size() == given.data.train.size()) return false;
  note(text("data.train: its shards or sources are not those of step ", checkpoint.step,
            "; training reads every source from its beginning"));
  return true;
}

}  // namespace

OpenedRun open_run_folder(const Config& given, const TrainOptions& options, const BatchLoader& train_data,
                          const std::vector<NamedText>& val_data, UnstartedRun* unstarted) {
  OpenedRun opened;
  opened.history.folder = std::filesystem::current_path().string();
  opened.history.train = data_files(train_data.sources());
  opened.history.val = data_files(val_data);
  const TokenizerCopy tokenizer = read_tokenizer_files(given.data.tokenizer);
  if (!options.continues()) {
    start_run_directory(*unstarted, given, tokenizer);
    if (tokenizer.files.empty() && !given.data.tokenizer.empty())
      note(text("data.tokenizer: ", given.data.tokenizer, " is not there, so the run's folder gets no copy of it"));
    opened.history.tokenizer = tokenizer_checksums(tokenizer);
    return opened;
  }
  remove_unfinished_checkpoints(options.out);
  require_provenance(options.out);  // before anything is written
  opened.checkpoint = latest_checkpoint(options.out);
  if (opened.checkpoint) {
    const CheckpointState state = read_checkpoint_state(*opened.checkpoint);
    const Saved saved{state.step, parse_config(state.config, opened.checkpoint->string()), state.last_row,
                      !state.loader.sources.empty() && state.loader.sources[0].fingerprint.has_value()};
    opened.new_data = check_data(options.out, saved, given, opened.history);
    if (const std::string older = latest_note(options.out); !older.empty())
      note(text(older, "; the steps after ", saved.step, " are trained again"));
    note_lost_rows(options.out, saved);
  } else {
    if (const int64_t step = last_logged_step(options.out); step > 0 && !options.restart)
      user_error(options.out.string(), ": metrics.jsonl has ", step,
                 " steps, but there is no checkpoint to resume from; add --restart to train again from step 0");
    std::printf("%s has no checkpoint yet: starting over\n", printable(options.out.string()).c_str());
  }
  keep_tokenizer(options.out, tokenizer);
  opened.history.tokenizer = tokenizer_checksums(read_tokenizer_files(options.out));
  return opened;
}

}  // namespace gptmoe
