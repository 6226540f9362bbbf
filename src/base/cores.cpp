#include "base/cores.h"

#include <sched.h>

#include <algorithm>
#include <thread>

namespace gptmoe {

int usable_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  // Fails where the machine has more hardware threads than the set has room for.
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return std::max(1, CPU_COUNT(&allowed));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace gptmoe
