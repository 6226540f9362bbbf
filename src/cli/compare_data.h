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

// Throws UserError if the runs mix their sources or mask documents in different ways. Checks the runs' records
// (history.json) against the shards that their patterns match now and the weights that init_from holds now, and the
// runs' data against each other. Throws UserError that names the first file that is not what a run read (unless
// `restart`), or the first two runs that read different tokens. Returns the folders of runs that read other data or
// started from other weights, which are to be trained anew. A run older than the record is not checked; a line on
// standard output says so. If shards or weights are gone, only the records are compared.
std::set<std::filesystem::path> runs_on_other_data(const std::vector<RunOnData>& runs, bool restart);

}  // namespace gptmoe
