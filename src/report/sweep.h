#pragma once
// One or several configs, each trained at every point of a grid of settings.
#include <string>
#include <vector>

#include "report/comparison.h"

namespace gptmoe {

struct SweepFamily {
  std::string label;           // the config's
  std::vector<size_t> points;  // indices into Sweep::all.arms, in the order of the grid
  size_t best;                 // the one of them with the lowest mean final perplexity whose runs all came to their end
};

struct Sweep {
  Comparison all;                       // every point
  std::vector<SweepFamily> families;    // in the order of the configs
  double target_perplexity = kUnknown;  // the first family's best

  // Its settings; "as configured" without.
  std::string point_name(size_t arm) const;
  const ArmResult& result(size_t arm) const { return all.arms[arm]; }
};

// `arms` family by family. At least one.
Sweep sweep_of(std::vector<Arm> arms);

// Each family at its best.
Comparison compare_best(const Sweep& sweep);

// "learning_rate=1e-3, ema_beta=0.9": the last name of each path, or the whole of it where two share one.
std::string settings_text(const std::vector<Setting>& settings, const std::string& separator = ", ");

struct SweepRow {
  std::vector<std::string> cells;
  bool best = false;
};
// The first row holds the names of the columns; one row a point follows.
std::vector<SweepRow> sweep_rows(const Sweep& sweep);
// The same for a terminal.
std::string sweep_text(const Sweep& sweep);

}  // namespace gptmoe
