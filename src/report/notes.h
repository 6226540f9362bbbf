#pragma once
#include <string>
#include <vector>

namespace gptmoe {

struct Comparison;

// One sentence for each thing that limits what the comparison shows: unfinished or diverged runs, runs without evals,
// seeds without a partner, different token budgets, validation data, vocabulary or context. Empty when nothing does.
std::vector<std::string> notes_on(const Comparison& comparison);

}  // namespace gptmoe
