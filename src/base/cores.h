#pragma once
#include <vector>

namespace gptmoe {

// How many threads this process can keep busy, at least 1. This is the number of hardware threads that it may run on
// (its affinity), or fewer if a control group limits its CPU time (base/cgroup.h). A part of a core counts as one.
int usable_cores();
// The numbers of the hardware threads that this process may run on; empty if the system does not say.
std::vector<int> usable_core_numbers();
// How many hardware threads this process could use if it were not bound: all those of its machine or container.
int permitted_cores();

}  // namespace gptmoe
