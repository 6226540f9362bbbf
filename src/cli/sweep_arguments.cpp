#include "cli/sweep_arguments.h"

#include <algorithm>

#include "base/check.h"

namespace gptmoe {
namespace {

std::vector<std::string> split_values(const std::string& list) {
  std::vector<std::string> values(1);
  int depth = 0;
  bool quoted = false;
  for (const char c : list) {
    if (c == '"') quoted = !quoted;
    if (!quoted && (c == '[' || c == '{')) ++depth;
    if (!quoted && (c == ']' || c == '}')) --depth;
    if (c == ',' && depth == 0 && !quoted)
      values.emplace_back();
    else
      values.back() += c;
  }
  return values;
}

}  // namespace

SweepArgument parse_sweep(const std::string& argument) {
  const auto refuse = [&](const std::string& why) {
    user_error("--sweep ", argument, ": ", why, "; write [CONFIG:]path.to.key=value,value,...");
  };
  SweepArgument sweep;
  const size_t equals = argument.find('=');
  if (equals == std::string::npos) refuse("no values");
  std::string path = argument.substr(0, equals);
  if (const size_t colon = path.find(':'); colon != std::string::npos) {
    sweep.only = path.substr(0, colon);
    path = path.substr(colon + 1);
    if (sweep.only.empty()) refuse("no config before the colon");
  }
  if (path.empty()) refuse("no key");
  sweep.path = path;
  sweep.values = split_values(argument.substr(equals + 1));
  for (auto value = sweep.values.begin(); value != sweep.values.end(); ++value) {
    if (value->empty()) refuse("an empty value");
    if (std::find(sweep.values.begin(), value, *value) != value) refuse("the value " + *value + " twice");
  }
  if (sweep.path == "seed")
    user_error("--sweep ", argument,
               ": a sweep picks the best setting, and a seed is not a setting; --seeds N trains seed, seed+1, ...");
  return sweep;
}

std::vector<std::vector<Setting>> sweep_grid(const std::vector<SweepArgument>& sweeps, const std::string& config) {
  std::vector<std::vector<Setting>> grid(1);
  for (const SweepArgument& sweep : sweeps) {
    if (!sweep.only.empty() && sweep.only != config) continue;
    for (const Setting& before : grid[0])
      if ((before.path + ".").starts_with(sweep.path + "."))
        user_error("--sweep ", sweep.path, ": would overwrite --sweep ", before.path, " in ", config,
                   "; give only one of them");
    std::vector<std::vector<Setting>> finer;
    for (const std::vector<Setting>& point : grid)
      for (const std::string& value : sweep.values) {
        finer.push_back(point);
        finer.back().push_back({sweep.path, value});
      }
    grid = std::move(finer);
  }
  return grid;
}

}  // namespace gptmoe
