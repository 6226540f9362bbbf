#include "cli/compare_plan.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "train/given_config.h"

namespace gptmoe {
namespace {

namespace fs = std::filesystem;

// The config at a point of the sweep. An error in a setting names --sweep, where the setting comes from.
Config load_point(const CompareArguments& arguments, const std::vector<SweepArgument>& sweeps, const std::string& path,
                  const std::vector<Setting>& settings) {
  std::vector<std::string> overrides = arguments.overrides;
  for (const Setting& setting : settings) overrides.push_back(setting.path + "=" + setting.value);
  try {
    return load_given_config(path, overrides);
  } catch (const UserError& error) {
    const std::string what = error.what();
    for (const Setting& setting : settings) {
      const std::string place = "--set " + setting.path;
      if (!what.starts_with(place + ":")) continue;
      const bool of_all = arguments.configs.size() > 1 && std::any_of(sweeps.begin(), sweeps.end(), [&](const auto& s) {
                            return s.path == setting.path && s.only.empty();
                          });
      user_error("--sweep ", setting.path, "=", setting.value, ": ", path, what.substr(place.size()),
                 of_all ? text("; to sweep it in one config only, write --sweep CONFIG:", setting.path, "=...") : "");
    }
    throw;
  }
}

}  // namespace

std::vector<PlannedArm> plan_arms(const CompareArguments& arguments) {
  std::vector<SweepArgument> sweeps;
  for (const std::string& argument : arguments.sweeps) sweeps.push_back(parse_sweep(argument));
  std::vector<PlannedArm> arms;
  std::set<std::string> families;
  for (const std::string& path : arguments.configs) {
    const std::string family = fs::path(path).stem().string();
    if (!families.insert(family).second)
      user_error(path, ": two configs are named \"", family, "\"; rename one, since the name labels its curve");
    for (const std::vector<Setting>& settings : sweep_grid(sweeps, family)) {
      PlannedArm arm{family, settings, load_point(arguments, sweeps, path, settings)};
      if (arm.config.seed > std::numeric_limits<int64_t>::max() - (arguments.seeds - 1))
        user_error("--seeds ", arguments.seeds, ": no seeds follow seed = ", arm.config.seed, "; choose a lower seed");
      for (const PlannedArm& other : arms)  // two values may be equal, such as 1e-3 and 0.001
        if (other.family == family && other.config == arm.config)
          user_error("--sweep: ", other.label(), " and ", arm.label(), " are the same run; leave one out");
      arms.push_back(std::move(arm));
    }
  }
  for (const SweepArgument& sweep : sweeps)
    if (!sweep.only.empty() && !families.contains(sweep.only))
      user_error("--sweep ", sweep.only, ":", sweep.path, ": no config here is named \"", sweep.only, "\"");
  if (arms.size() == 1 && arguments.seeds == 1)
    user_error(
        "compare: one config, one seed and no sweep leave nothing to compare; use gptmoe train for a single run");
  return arms;
}

std::vector<PlannedRun> plan_runs(const CompareArguments& arguments, const std::vector<PlannedArm>& arms) {
  std::vector<PlannedRun> runs;
  std::map<fs::path, std::string> labels;
  for (int64_t s = 0; s < arguments.seeds; ++s)
    for (const PlannedArm& arm : arms) {
      PlannedRun run{&arm, arm.config, fs::path(arguments.out) / arm.family};
      run.config.seed += s;
      if (!arm.settings.empty()) {
        std::string folder = settings_text(arm.settings, ",");
        std::replace(folder.begin(), folder.end(), '/', '_');
        run.dir /= folder;
      }
      run.dir /= text("seed_", run.config.seed);
      if (const auto [other, fresh] = labels.emplace(run.dir, arm.label()); !fresh)
        user_error("--sweep: ", other->second, " and ", arm.label(), " would share the folder ", run.dir.string(),
                   "; rename one of the values");
      runs.push_back(std::move(run));
    }
  return runs;
}

}  // namespace gptmoe
