#include "base/openmp_wait.h"

#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "base/cores.h"

namespace gptmoe {
namespace {

constexpr const char* kSpinCount = "1000";  // about 30 microseconds

}  // namespace

void unbind_main_thread() {
  // If none of these is set, OpenMP binds no thread. A call would start OpenMP before OMP_NUM_THREADS is checked.
  if (!std::getenv("OMP_PROC_BIND") && !std::getenv("OMP_PLACES") && !std::getenv("GOMP_CPU_AFFINITY")) return;
  cpu_set_t all;
  CPU_ZERO(&all);
  for (int place = 0; place < omp_get_num_places(); ++place) {
    std::vector<int> cores(static_cast<size_t>(omp_get_place_num_procs(place)));
    omp_get_place_proc_ids(place, cores.data());
    for (const int core : cores) CPU_SET(core, &all);
  }
  if (CPU_COUNT(&all) > 0) sched_setaffinity(0, sizeof all, &all);
}

void limit_openmp_spinning(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  if (setenv("GOMP_SPINCOUNT", kSpinCount, 1) != 0) return;
  execv("/proc/self/exe", argv);
  // If the restart fails, the program continues unchanged.
}

void limit_openmp_threads() {
  if (!std::getenv("OMP_NUM_THREADS")) omp_set_num_threads(std::min(omp_get_max_threads(), usable_cores()));
}

}  // namespace gptmoe
