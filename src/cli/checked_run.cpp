#include "cli/checked_run.h"

#include "train/run_directory.h"

namespace gptmoe {

RunLog read_checked_run(const std::filesystem::path& dir) {
  std::optional<SavedRow> saved;
  std::string unreadable;
  try {
    saved = saved_row(dir);  // read before the rows: a run in training may save later ones
  } catch (const UserError& error) {
    unreadable = error.what();
  }
  RunLog log = read_run(dir, saved);
  if (unreadable.empty())
    require_unedited_config(dir);
  else
    log.problems.push_back("config.json and the last rows are not checked: " + unreadable);
  return log;
}

}  // namespace gptmoe
