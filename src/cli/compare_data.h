#pragma once
// Checks that all runs of one comparison read the same tokens: those that gptmoe compare reuses, resumes and trains.
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "config/config.h"

namespace gptmoe {

struct RunOnData {
  std::string label;
  std::filesystem::path dir;  // may hold the run already
  DataConfig data;
  std::string init_from;  // train.init_from
};

// Throws UserError if the runs mix their sources or mask documents in different ways. Compares each run's record
// (history.json) with the shards that its patterns match now and the weights that init_from holds now. Unless `restart`
// is set, throws UserError that names the first file that differs from what a run read. Also compares the runs' data
// with each other, and throws UserError that names the first two runs that read different tokens. Returns the folders
// of the runs to train anew, because they read other data or started from other weights. A run without a record is not
// checked; a line on the screen says so. If the shards or the weights are gone, only the records are compared.
std::set<std::filesystem::path> runs_on_other_data(const std::vector<RunOnData>& runs, bool restart);

}  // namespace gptmoe
