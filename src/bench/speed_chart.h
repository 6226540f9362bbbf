#pragma once
#include <vector>

#include "bench/variants.h"
#include "report/svg_chart.h"

namespace gptmoe {

// A variant and its seconds per step, by round.
struct VariantSpeed {
  const Variant& variant;
  const std::vector<double>& seconds;
};

// Tokens per second against the number of experts if a config has several, else against the tokens per step; with a
// band from the slowest round to the fastest. One line per config and, against experts, per number of tokens.
Chart speed_chart(const std::vector<VariantSpeed>& speeds);

}  // namespace gptmoe
