#include "train/run_opening.h"

#include <cstdio>

#include "base/check.h"
#include "checkpoint/checkpoint.h"
#include "train/metrics.h"
#include "train/provenance.h"
#include "train/run_directory.h"
#include "train/run_history.h"
#include "train/run_inputs.h"

namespace gptmoe {
namespace {

// Refuses data that changed under the run. Returns whether the run was given other training data.
bool check_data(const std::filesystem::path& run_dir, const std::filesystem::path& checkpoint, const Config& given,
                const HistoryEntry& now) {
  const CheckpointState state = read_checkpoint_state(checkpoint);
  const RunHistory record = read_history(run_dir);
  const HistoryEntry* before = entry_at(record, state.step);
  if (!before) return false;
  const DataConfig saved = parse_config(state.config, checkpoint.string()).data;
  const auto other_path = [](const char* key) {
    return text("give the new data under another path with --set ", key, "=...");
  };
  if (saved.train == given.data.train) require_same_data(before->train, now.train, other_path("data.train"));
  if (saved.val == given.data.val) require_same_data(before->val, now.val, other_path("data.val"));
  return !same_tokens(before->train, now.train);
}

}  // namespace

OpenedRun open_run_folder(const Config& given, const TrainOptions& options, const TokenLoader& train_data,
                          const TokenLoader* val_data, std::unique_ptr<FolderLock>& lock) {
  OpenedRun opened;
  opened.history.folder = std::filesystem::current_path().string();
  opened.history.train = data_files(train_data);
  if (val_data) opened.history.val = data_files(*val_data);
  const TokenizerCopy tokenizer = read_tokenizer_files(given.data.tokenizer);
  if (!options.continues()) {
    lock = start_run_directory(options.out, given, tokenizer);
    if (tokenizer.files.empty() && !given.data.tokenizer.empty())
      std::printf("note        data.tokenizer: %s is not there, so the run's folder gets no copy of it\n",
                  given.data.tokenizer.c_str());
    return opened;
  }
  GPTMOE_CHECK(lock);
  remove_unfinished_checkpoints(options.out);
  require_provenance(options.out);  // before anything is written
  opened.checkpoint = latest_checkpoint(options.out);
  if (opened.checkpoint) {
    opened.new_data = check_data(options.out, *opened.checkpoint, given, opened.history);
  } else {
    if (const int64_t step = last_logged_step(options.out); step > 0 && !options.restart)
      user_error(options.out.string(), ": metrics.jsonl has ", step,
                 " steps, but there is no checkpoint to resume from; add --restart to train again from step 0");
    std::printf("%s has no checkpoint yet: starting over\n", options.out.c_str());
  }
  keep_tokenizer(options.out, tokenizer);
  return opened;
}

}  // namespace gptmoe
