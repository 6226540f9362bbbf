#pragma once
#include <string>
#include <vector>

namespace gptmoe {

struct Comparison;

// One sentence for each limitation of the comparison: unfinished or diverged runs, runs without evals or with rows
// that are missing, seeds without a partner, different token budgets, data, vocabulary or context. Empty if there is
// none.
std::vector<std::string> notes_on(const Comparison& comparison);

}  // namespace gptmoe
