#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/config.h"
#include "records/row_chain.h"
#include "records/run_history.h"
#include "train/run_inputs.h"
#include "train/unstarted_run.h"

namespace gptmoe {

// The file of a run's choices for its GPUs (kernels/kept_choices.h).
inline constexpr const char* kChoicesFile = "cublaslt.json";

// The config of the run in `run_dir` (its config.json). Throws UserError when there is none.
Config run_config(const std::filesystem::path& run_dir);

// Starts a run directory: claims it, writes the resolved config and keeps the tokenizer. Throws the errors of
// UnstartedRun::claim(), and UserError if the folder holds a different tokenizer.
void start_run_directory(UnstartedRun& run, const Config& config, const TokenizerCopy& tokenizer);

// Throws UserError if the folder holds rows, a history or checkpoints of a run but no config.json, which was removed or
// lost. A new run there would remove the rows and continue the history.
void require_no_lost_run(const std::filesystem::path& run_dir);

// Throws UserError if the run began before the balance and z losses were summed over layers (its config.json has no
// model.balance_scope), naming the coefficient that gives the same loss today.
void require_summed_losses(const std::filesystem::path& run_dir);

// The config that the run in `run_dir` continues with (gptmoe train --resume). `given` is the config that the user
// gives, and `set` lists the keys that come from --set. The run keeps its own config except:
// - keys that do not affect what a step computes (when to evaluate, log and save; where to compute, and with which
//   kernels): as given;
// - train.steps, train.micro_batch_size, train.skip_spikes*, schedule.*, optimizer.learning_rate and data.*: as given
//   by --set. But the micro-batch size "auto" keeps the run's own size.
// Throws UserError naming the key for any other difference. Also throws UserError if config.json disagrees with the
// latest checkpoint and history.json, or if train.steps is below the checkpoint's step.
Config resumed_config(const std::filesystem::path& run_dir, const Config& given, const std::vector<std::string>& set);

// Throws UserError if the value of a key in config.json disagrees with the latest checkpoint and history.json. Every
// function that uses config.json as the config of the training must call this.
void require_unedited_config(const std::filesystem::path& run_dir);

// The row of metrics.jsonl that was last when the latest checkpoint was saved. nullopt if there is no checkpoint, or if
// the checkpoint does not record that row.
std::optional<SavedRow> saved_row(const std::filesystem::path& run_dir);

// For gptmoe compare: throws UserError unless the run can continue with exactly this config.
void require_continuable(const std::filesystem::path& run_dir, const Config& config);

// The keys whose values differ, as dotted paths.
Named<ConfigChange> config_changes(const Config& was, const Config& is);
// Replaces config.json.
void write_run_config(const std::filesystem::path& run_dir, const Config& config);

// Whether the checkpoint has the optimizer's state, without which a run cannot continue from it. An imported model has
// none.
bool holds_optimizer(const std::filesystem::path& checkpoint);

// The config of a branch: `config`, but with the micro-batch size of the checkpoint `from` in place of "auto". Throws
// the UserError of branch_run() if there is no such checkpoint.
Config branch_config(const std::filesystem::path& from, const Config& config);

// Starts `run` as a branch: from the full state of the checkpoint `from`, or of the latest checkpoint if `from` is a
// run. Claims the folder and copies that checkpoint, and the metrics and history that led to it. `config` may differ
// from the config of that run wherever resumed_config() accepts a change. The new run is then ready to be resumed.
// Throws the errors of UnstartedRun::claim(), and UserError if a key that may not change differs, if train.steps is not
// above the checkpoint's step, or if the checkpoint or a file of that run is damaged or missing.
void branch_run(const std::filesystem::path& from, UnstartedRun& run, const Config& config);

}  // namespace gptmoe
