#pragma once
// One or several configs, each trained at every point of a grid of settings.
#include <optional>
#include <string>
#include <vector>

#include "report/comparison.h"

namespace gptmoe {

struct SweepFamily {
  std::string label;           // the config's
  std::vector<size_t> points;  // indices into Sweep::all.arms, in the order of the grid
  // The one of them with the lowest mean final perplexity whose runs all came to their end, if there is any.
  std::optional<size_t> best;
};

struct Sweep {
  Comparison all;                       // every point
  std::vector<SweepFamily> families;    // in the order of the configs
  double target_perplexity = kUnknown;  // the best of the first family that has one

  // Its settings; "as configured" without.
  std::string point_name(size_t arm) const;
  const ArmResult& result(size_t arm) const { return all.arms[arm]; }
};

// `arms` family by family. At least one.
Sweep sweep_of(std::vector<Arm> arms);

// A point against the one of the first family that has the same settings, those left aside that only this one has. Both
// came to their end, with as many tokens.
struct SettingPair {
  PairedGap gap;                           // at the end
  std::optional<Crossing> target;          // the other's final perplexity
  double target_tokens_change = kUnknown;  // target tokens / the other's - 1
};
// None for the first family, and where there is nothing to compare with.
std::optional<SettingPair> against_first(const Sweep& sweep, size_t arm);

// Each family at its best; those without are left out, unless no family has one: then each is there at its first point.
Comparison compare_best(const Sweep& sweep);

// Its value as a number; nullopt where it is none.
std::optional<double> number_in(const Setting& setting);

// One sentence for each number of a family's best point that is the smallest or the largest of those tried.
std::vector<std::string> edge_notes(const Sweep& sweep);

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
