#include "base/openmp_wait.h"

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/check.h"
#include "base/cores.h"

namespace gptmoe {
namespace {

constexpr const char* kSpinCount = "1000";  // about 30 microseconds
// A start of threads takes room on the stack, and 100,000 of them more than there is.
constexpr int kMostThreads = 4096;

}  // namespace

void limit_openmp_spinning(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  if (setenv("GOMP_SPINCOUNT", kSpinCount, 1) != 0) return;
  execv("/proc/self/exe", argv);
  // If the restart fails, the program continues unchanged.
}

void limit_openmp_threads() {
  if (!std::getenv("OMP_NUM_THREADS")) {
    omp_set_num_threads(std::min(omp_get_max_threads(), usable_cores()));
  } else if (omp_get_max_threads() > kMostThreads) {
    user_error("OMP_NUM_THREADS: ", omp_get_max_threads(), " threads; give at most ", kMostThreads,
               ", or unset it to use one for each of the ", usable_cores(), " cores");
  }
}

}  // namespace gptmoe
