#pragma once
#include <filesystem>

#include "report/run_log.h"

namespace gptmoe {

// Reads a run for a command that reports on it, and compares its files with its latest checkpoint, if it has one. The
// run's problems include rows that the checkpoint covers but the files lack, and a checkpoint that cannot be read.
// Throws UserError as read_run() and require_unedited_config() (train/run_directory.h) do.
RunLog read_checked_run(const std::filesystem::path& dir);

}  // namespace gptmoe
