#include "distributed/threads.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "base/cgroup.h"
#include "base/check.h"
#include "base/cores.h"

namespace gptmoe {
namespace {

// The ranks on one machine and the hardware threads that they may use.
struct Machine {
  int ranks = 0, permitted = 0;
  std::string host;
  std::map<int, int> sharers;  // by hardware thread: ranks that may run there
};

std::string this_machine() {
  std::string id = "unknown";
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return id;
}

}  // namespace

RankThreads rank_threads(World& world) {
  const std::vector<int> usable = usable_core_numbers();
  std::ostringstream mine = text_stream();
  mine << this_machine() << ' ' << permitted_cores();
  for (int core : usable) mine << ' ' << core;
  std::map<std::string, Machine> machines;
  const std::vector<std::string> all = world.all_gather(mine.str());
  for (int rank = 0; rank < world.size(); ++rank) {
    std::istringstream said(all[static_cast<size_t>(rank)]);
    std::string name;
    said >> name;
    Machine& machine = machines[name];
    ++machine.ranks;
    machine.host = world.host(rank);
    said >> machine.permitted;
    for (int core = 0; said >> core;) ++machine.sharers[core];
  }

  RankThreads result{omp_get_max_threads(), ""};
  if (!std::getenv("OMP_NUM_THREADS")) {
    std::string name;
    std::istringstream(mine.str()) >> name;
    double share = 0;
    for (int core : usable) share += 1.0 / machines.at(name).sharers.at(core);
    share = std::min(share, std::ceil(cgroup_limits().cores) / machines.at(name).ranks);
    result.threads = usable.empty()
                         ? std::max(1, result.threads / world.local_size())  // the system has over 1,024 threads
                         : std::max(1, static_cast<int>(share + 1e-6));
  }
  if (world.size() > 1)
    for (const auto& [name, machine] : machines)
      if (const auto used = static_cast<int>(machine.sharers.size()); used < machine.permitted && result.note.empty())
        result.note =
            text("on ", machine.host, " the launcher binds ", machine.ranks, " rank(s) to ", used, " of ",
                 machine.permitted, " hardware threads; to use all: mpirun --bind-to none, srun --cpu-bind=none");
  return result;
}

}  // namespace gptmoe
