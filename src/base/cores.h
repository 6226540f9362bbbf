#pragma once
#include <vector>

namespace gptmoe {

// The hardware threads this process may run on (its affinity); at least 1.
int usable_cores();
// Their numbers; empty where the system does not say.
std::vector<int> usable_core_numbers();
// How many it could run on if nothing had bound it: those of its machine or container.
int permitted_cores();

}  // namespace gptmoe
