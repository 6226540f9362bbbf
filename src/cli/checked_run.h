#pragma once
#include <filesystem>

#include "report/run_log.h"

namespace gptmoe {

// read_run() for commands that report on a run. Also compares the run's files with its latest checkpoint, if there is
// one: the log's problems then include rows that are missing although the checkpoint covers them, and a checkpoint that
// cannot be read. Throws the errors of read_run() and require_unedited_config() (train/run_directory.h).
RunLog read_checked_run(const std::filesystem::path& dir);

}  // namespace gptmoe
