#pragma once
#include <string>

#include "distributed/world.h"

namespace gptmoe {

struct RankThreads {
  int threads;       // of this rank
  std::string note;  // for people: the threads that a launcher's binding leaves unused; "" if none
};

// How many threads each rank should compute with; collective. OMP_NUM_THREADS if it is set. Otherwise each hardware
// thread is divided equally among the ranks that may run on it, and a rank gets the sum of its shares: ranks bound
// apart use all their threads, and ranks that are not bound divide the machine. A control group's limit of CPU time
// (base/cgroup.h) is divided equally among the machine's ranks.
RankThreads rank_threads(World& world);

}  // namespace gptmoe
