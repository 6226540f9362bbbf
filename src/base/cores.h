#pragma once
#include <vector>

namespace gptmoe {

// The hardware threads this process may run on (its affinity); at least 1.
int usable_cores();
// The numbers of these hardware threads; empty if the system does not say.
std::vector<int> usable_core_numbers();
// How many hardware threads this process could use if it were not bound: all of its machine or container.
int permitted_cores();

}  // namespace gptmoe
