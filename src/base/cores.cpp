#include "base/cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "base/cgroup.h"

namespace gptmoe {

namespace {

int bound_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  // Fails if the machine has more hardware threads than the set has room for.
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) return std::max(1, CPU_COUNT(&allowed));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

int usable_cores() {
  const int bound = bound_cores();
  const double quota = cgroup_limits().cores;
  return quota < bound ? std::max(1, static_cast<int>(std::ceil(quota))) : bound;
}

std::vector<int> usable_core_numbers() {
  std::vector<int> numbers;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return numbers;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &allowed)) numbers.push_back(core);
  return numbers;
}

// The system reduces a thread's mask of all cores to those that its container allows.
int permitted_cores() {
  cpu_set_t bound, everything;
  CPU_ZERO(&bound);
  CPU_ZERO(&everything);
  for (int core = 0; core < CPU_SETSIZE; ++core) CPU_SET(core, &everything);
  if (sched_getaffinity(0, sizeof bound, &bound) != 0 || sched_setaffinity(0, sizeof everything, &everything) != 0)
    return usable_cores();
  const int permitted = usable_cores();
  sched_setaffinity(0, sizeof bound, &bound);
  return permitted;
}

}  // namespace gptmoe
