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

// A chart of tokens per second, against the number of experts if a config has several, else against the tokens per
// step. A band goes from the slowest round to the fastest. Each config has a line. In a chart against experts, each
// number of tokens per step has a line of its own as well.
Chart speed_chart(const std::vector<VariantSpeed>& speeds);

}  // namespace gptmoe
