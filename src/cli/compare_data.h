#pragma once
// Checks that all runs of one comparison read the same tokens, whether gptmoe compare reuses, resumes or starts them.
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

// Throws UserError if the runs mix their sources or mask documents in different ways, or if two runs read different
// tokens. Also compares the record of each existing run (history.json) with the shards that its patterns match now and
// with the weights at init_from now. If they differ, throws UserError that names the difference, or with `restart` adds
// the run's folder to the returned set: these runs are to be trained anew. A run without a record is not checked; a
// line on standard output says so. If shards or weights are gone, only the runs' records are compared.
std::set<std::filesystem::path> runs_on_other_data(const std::vector<RunOnData>& runs, bool restart);

}  // namespace gptmoe
