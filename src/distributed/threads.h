#pragma once
#include <string>

#include "distributed/world.h"

namespace gptmoe {

struct RankThreads {
  int threads;       // of this rank
  std::string note;  // for users: the threads that a launcher's binding leaves unused; "" if none
};

// How many threads this rank should compute with; collective. If OMP_NUM_THREADS is set, the answer is its value.
// Otherwise each hardware thread is divided equally among the ranks that may run on it, and a rank gets the sum of its
// shares. So ranks that are bound to different hardware threads use all of their own, and ranks that are not bound
// divide the machine. A control group's limit on CPU time (base/cgroup.h) is divided equally among the machine's ranks.
RankThreads rank_threads(World& world);

}  // namespace gptmoe
