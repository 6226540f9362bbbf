#pragma once
// --sweep [CONFIG:]path=value,value,...: what compare varies.
#include <string>
#include <vector>

#include "report/comparison.h"

namespace gptmoe {

struct SweepArgument {
  std::string only;  // the config it concerns, by its file's name without extension; empty: all
  std::string path;
  std::vector<std::string> values;
};

// A value may hold commas within [], {} and "". Throws UserError at one that does not parse, repeats a value, or sweeps
// the seed.
SweepArgument parse_sweep(const std::string& argument);

// The grid of those that concern the config, the last one varying fastest; one point without settings where none does.
// Throws UserError where one sets what one before it has set.
std::vector<std::vector<Setting>> sweep_grid(const std::vector<SweepArgument>& sweeps, const std::string& config);

}  // namespace gptmoe
