#pragma once
#include <vector>

namespace gptmoe {

// How many threads this process can keep busy: the hardware threads it may run on (its affinity), or fewer if a control
// group limits its CPU time (base/cgroup.h; a part of a core counts as one); at least 1.
int usable_cores();
// The numbers of the hardware threads that this process may run on; empty if the system does not say.
std::vector<int> usable_core_numbers();
// How many hardware threads this process could use if it were not bound: all those of its machine or container.
int permitted_cores();

}  // namespace gptmoe
