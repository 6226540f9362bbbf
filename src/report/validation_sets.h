#pragma once
#include <string>
#include <vector>

#include "report/comparison.h"

namespace gptmoe {

// One of several validation sets, and the comparison of the same arms on it alone.
struct SetComparison {
  std::string name;
  Comparison comparison;  // without train rows, so without speeds
};

// The validation sets that every evaluation of every arm has, in the order of the first run; empty if there are fewer
// than two.
std::vector<SetComparison> compare_by_set(const Comparison& comparison);

}  // namespace gptmoe
