#pragma once
// One or several configs, each trained at every point of a grid of settings.
#include <optional>
#include <string>
#include <vector>

#include "report/comparison.h"

namespace gptmoe {

struct SweepFamily {
  std::string label;           // of the config
  std::vector<size_t> points;  // indices into Sweep::all.arms, in the order of the grid
  // The point with the lowest mean final perplexity among those whose runs all finished, if any.
  std::optional<size_t> best;
};

struct Sweep {
  Comparison all;                       // every point
  std::vector<SweepFamily> families;    // in the order of the configs
  double target_perplexity = kUnknown;  // of the best point of the first family that has one

  // The point's settings; "as configured" if it has none.
  std::string point_name(size_t arm) const;
  const ArmResult& result(size_t arm) const { return all.arms[arm]; }
};

// `arms` holds at least one arm; the arms of a family follow one another.
Sweep sweep_of(std::vector<Arm> arms);

// A point compared with the point of the first family that has the same settings. Settings that only the point's own
// family has are ignored. Both have finished, after the same number of tokens.
struct SettingPair {
  PairedGap gap;                           // at the end
  std::optional<Crossing> target;          // where the point reaches the other's final perplexity
  double target_tokens_change = kUnknown;  // tokens_change(target, the other's), if it is reached
};
// nullopt for the first family, and if there is no point to compare with.
std::optional<SettingPair> against_first(const Sweep& sweep, size_t arm);

// Compares the families, each at its best point. Leaves out families without a best point. If no family has one,
// compares each at its first point.
Comparison compare_best(const Sweep& sweep);

// The setting's value as a number; nullopt if it is not a number.
std::optional<double> number_in(const Setting& setting);

// One sentence for each setting whose value at a family's best point is the smallest or the largest number tried.
std::vector<std::string> edge_notes(const Sweep& sweep);

// "learning_rate=1e-3, ema_beta=0.9": the last name of each path, or the whole path if two share the name.
std::string settings_text(const std::vector<Setting>& settings, const std::string& separator = ", ");

struct SweepRow {
  std::vector<std::string> cells;
  bool best = false;
};
// The first row holds the column names; one row per point follows.
std::vector<SweepRow> sweep_rows(const Sweep& sweep);
// sweep_rows() as a table for a terminal.
std::string sweep_text(const Sweep& sweep);

}  // namespace gptmoe
