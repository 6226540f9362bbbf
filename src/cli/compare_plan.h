#pragma once
// Plans the runs that `gptmoe compare` trains.
#include <filesystem>
#include <string>
#include <vector>

#include "base/check.h"
#include "cli/sweep_arguments.h"
#include "config/config.h"
#include "report/sweep.h"

namespace gptmoe {

struct CompareArguments {
  std::vector<std::string> configs, overrides, sweeps, labels;
  std::string out = "runs/compare", svg, reference;
  int64_t seeds = 1;
  int jobs = 1, ranks = 0;
  bool restart = false;
};

// One arm: a config at a point of the sweep.
struct PlannedArm {
  std::string family;
  std::vector<Setting> settings;
  Config config;

  std::string label() const { return family + (settings.empty() ? "" : " " + settings_text(settings)); }
};

struct PlannedRun {
  const PlannedArm* arm;
  Config config;
  std::filesystem::path dir;

  std::string label() const { return text(arm->label(), ", seed ", config.seed); }
};

// Returns the arms in the order of the configs. An arm's family is the name of its config's file, without the
// extension. Two configs must not have the same family, since it also names a folder. Throws UserError naming the
// config or the --sweep at fault.
std::vector<PlannedArm> plan_arms(const CompareArguments& arguments);
// Returns the runs of all arms, seed by seed, so that an interrupted comparison has trained all arms for its first
// seeds. `arms` must outlive the runs. Throws UserError if two runs would share a folder.
std::vector<PlannedRun> plan_runs(const CompareArguments& arguments, const std::vector<PlannedArm>& arms);

}  // namespace gptmoe
