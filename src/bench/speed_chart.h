#pragma once
#include <vector>

#include "bench/variants.h"
#include "report/svg_chart.h"

namespace gptmoe {

// A variant and the seconds of its steps, by round.
struct VariantSpeed {
  const Variant& variant;
  const std::vector<double>& seconds;
};

// Tokens a second against the number of experts where a config comes with several, else against the tokens of a step;
// with a band from the slowest round to the fastest. A line for each config and, against experts, each number of
// tokens.
Chart speed_chart(const std::vector<VariantSpeed>& speeds);

}  // namespace gptmoe
