#pragma once
#include <filesystem>

#include "config/config.h"

namespace gptmoe {

// The config of the run in `run_dir` (its config.json). Throws UserError when there is none.
Config run_config(const std::filesystem::path& run_dir);

bool holds_run(const std::filesystem::path& run_dir);

// Starts a run directory: makes it and writes the resolved config. Throws UserError when it already holds a run.
void start_run_directory(const std::filesystem::path& run_dir, const Config& config);

// Throws UserError if the run began before the balance and z losses were summed over layers (its config.json has no
// model.balance_scope), naming the coefficient that gives the same loss today.
void require_summed_losses(const std::filesystem::path& run_dir);

// Checks that a run continues with the config it began with. Only when to evaluate, log and save, and where to compute,
// may differ. Throws UserError naming the first other field that differs.
void require_continuable(const std::filesystem::path& run_dir, const Config& config);
// The same check; then the new config replaces config.json.
void continue_run_directory(const std::filesystem::path& run_dir, const Config& config);

}  // namespace gptmoe
