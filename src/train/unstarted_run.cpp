#include "train/unstarted_run.h"

#include <algorithm>

#include "base/check.h"
#include "base/file.h"
#include "base/folder.h"

namespace gptmoe {

UnstartedRun::UnstartedRun(std::filesystem::path run_dir)
    : run_dir_(std::move(run_dir)), existed_(anything_at(run_dir_)), before_(folder_entries(run_dir_)) {}

UnstartedRun::~UnstartedRun() {
  if (!owned_) return;
  try {
    std::error_code ignored;  // the reason why the run did not begin is reported
    for (const std::filesystem::path& entry : folder_entries(run_dir_))
      if (std::find(before_.begin(), before_.end(), entry) == before_.end())
        std::filesystem::remove_all(entry, ignored);
    if (!existed_) std::filesystem::remove(run_dir_, ignored);
  } catch (const UserError&) {  // as above
  }
}

}  // namespace gptmoe
