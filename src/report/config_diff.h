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

// Compares the resolved configs of all runs value by value. The rows are in the order of the config files.
ConfigDiff diff_configs(const Comparison& comparison);

}  // namespace gptmoe
