#pragma once
// The table of `gptmoe watch`.
#include <string>
#include <vector>

#include "report/watched_run.h"

namespace gptmoe {

// "training", "finished", "interrupted", "stopped for 12 min", "failed" at `now`, in seconds since 1970.
std::string state_text(const WatchedRun& run, double now);

// The values as block characters of eight heights, scaled from the lowest value to the highest; empty if there are
// none.
std::string sparkline(const std::vector<double>& values);

struct NamedRun {
  std::string name;
  const WatchedRun* run;
  std::string state = {};  // shown instead of state_text() if not empty
};

// A line of column names and one line per run, without line breaks; then a line for each run's problem(). Numbers that
// are unknown are "—". `now` is in seconds since 1970.
std::vector<std::string> watch_table(const std::vector<NamedRun>& runs, double now);

}  // namespace gptmoe
