#pragma once
#include <filesystem>

#include "report/run_log.h"

namespace gptmoe {

// read_run() for commands that report on a run: compares its files with its latest checkpoint, if it has one. The run's
// problems then include missing rows that the checkpoint covers, and a checkpoint that cannot be read.
// Throws UserError as read_run() and require_unedited_config() (train/run_directory.h) do.
RunLog read_checked_run(const std::filesystem::path& dir);

}  // namespace gptmoe
