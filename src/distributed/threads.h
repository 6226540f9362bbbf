#pragma once
#include <string>

#include "distributed/world.h"

namespace gptmoe {

struct RankThreads {
  int threads;       // of this rank
  std::string note;  // for people: the threads that a launcher's binding leaves unused; "" if none
};

// How many threads each rank should compute with; collective. OMP_NUM_THREADS if it is set; else the rank's share of
// the hardware threads that it may run on, each divided by the ranks that may run there too: ranks bound apart use all
// their threads, ranks that are not bound divide their machine.
RankThreads rank_threads(World& world);

}  // namespace gptmoe
