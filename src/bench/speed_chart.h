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

// A chart of tokens per second. The x axis is the number of experts if variants of one config have different numbers of
// experts, else the tokens per step. Each config has a line; if its variants differ in experts and in tokens per step,
// it has a line for each number of tokens per step. A band around a line goes from the slowest round to the fastest.
Chart speed_chart(const std::vector<VariantSpeed>& speeds);

}  // namespace gptmoe
