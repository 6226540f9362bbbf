#pragma once
#include <memory>
#include <string>
#include <vector>

#include "bench/step_run.h"

namespace gptmoe {

// Tokens a second against the number of experts, or where that does not vary against the tokens of a step: a line for
// each config, with a band from the slowest round to the fastest. An SVG picture that stands alone.
std::string speed_chart(const std::vector<std::unique_ptr<StepRun>>& runs);

}  // namespace gptmoe
