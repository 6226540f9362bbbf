#pragma once
#include <string>
#include <vector>

#include "report/comparison.h"

namespace gptmoe {

struct ConfigRow {
  std::string path;                 // "router.ema_beta"
  std::vector<std::string> values;  // one per arm as JSON; "—" if absent; "1, 2, 3" where an arm's runs differ
};

struct ConfigDiff {
  std::vector<ConfigRow> different;
  std::vector<ConfigRow> shared;
};

// The resolved configs of all runs, leaf by leaf, in the order of the files.
ConfigDiff diff_configs(const Comparison& comparison);

}  // namespace gptmoe
