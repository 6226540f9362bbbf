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

// Starts a run directory: claims it, writes the resolved config and keeps the tokenizer. Throws UserError as
// UnstartedRun::claim() does, and if the folder holds another tokenizer.
void start_run_directory(UnstartedRun& run, const Config& config, const TokenizerCopy& tokenizer);

// Throws UserError if the folder holds rows, a history or checkpoints of a run but no config.json, which was removed or
// lost. A new run there would cut back the rows and continue the history.
void require_no_lost_run(const std::filesystem::path& run_dir);

// Throws UserError if the run began before the balance and z losses were summed over layers (its config.json has no
// model.balance_scope), naming the coefficient that gives the same loss today.
void require_summed_losses(const std::filesystem::path& run_dir);

// The config that the run in `run_dir` continues with (gptmoe train --resume). `given` is the config that the user
// gives, and `set` lists the keys that come from --set. The run keeps its own config except:
// - keys that do not affect what a step computes (when to evaluate, log and save; where to compute): as given;
// - train.steps, train.micro_batch_size, train.skip_spikes*, schedule.*, optimizer.learning_rate and data.*: as given
//   by --set. But a micro-batch size "auto" stands for the run's own.
// Throws UserError naming the key for any other difference. Throws UserError too if config.json is not what the latest
// checkpoint and history.json say, or if train.steps is below the checkpoint's step.
Config resumed_config(const std::filesystem::path& run_dir, const Config& given, const std::vector<std::string>& set);

// Throws UserError if a key of config.json has another value than the latest checkpoint and history.json say. Every
// function that uses config.json as the config of the training must call this.
void require_unedited_config(const std::filesystem::path& run_dir);

// The row of metrics.jsonl that was last when the latest checkpoint was saved. None if there is no checkpoint, or if
// the checkpoint does not record that row.
std::optional<SavedRow> saved_row(const std::filesystem::path& run_dir);

// Throws UserError unless the run continues exactly as `config` describes it, as gptmoe compare needs.
void require_continuable(const std::filesystem::path& run_dir, const Config& config);

// The keys whose values differ, dotted.
Named<ConfigChange> config_changes(const Config& was, const Config& is);
// Replaces config.json.
void write_run_config(const std::filesystem::path& run_dir, const Config& config);

// Whether the checkpoint has the optimizer's state, without which a run cannot continue from it. An imported model has
// none.
bool holds_optimizer(const std::filesystem::path& checkpoint);

// `config` as a branch from `from` has it: with the micro-batch size of that checkpoint if `config` has "auto". Throws
// UserError as branch_run() does if there is no such checkpoint.
Config branch_config(const std::filesystem::path& from, const Config& config);

// Starts `run` as a branch: from the full state of the checkpoint `from`, or of the latest checkpoint if `from` is a
// run. Claims the folder and copies that checkpoint, and the metrics and history that led to it. `config` may differ
// from the other run's where resumed_config() allows --set. The new run is then ready to be resumed. Throws UserError
// as start_run_directory() and resumed_config() do, and if the checkpoint has no optimizer's state.
void branch_run(const std::filesystem::path& from, UnstartedRun& run, const Config& config);

}  // namespace gptmoe
