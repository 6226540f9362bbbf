#pragma once
// --sweep [CONFIG:]path=value,value,...: the settings that compare varies.
#include <string>
#include <vector>

#include "report/comparison.h"

namespace gptmoe {

struct SweepArgument {
  std::string only;  // the config it applies to (file name without extension); empty: all
  std::string path;
  std::vector<std::string> values;
};

// A value may hold commas inside [], {} and "". Throws UserError if the argument does not parse, repeats a value or
// sweeps the seed.
SweepArgument parse_sweep(const std::string& argument);

// The points of the grid that the sweeps for `config` span; the last sweep varies fastest. If no sweep is for `config`,
// returns one point without settings. Throws UserError if a sweep sets a key that an earlier sweep sets.
std::vector<std::vector<Setting>> sweep_grid(const std::vector<SweepArgument>& sweeps, const std::string& config);

}  // namespace gptmoe
