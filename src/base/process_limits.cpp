#include "base/process_limits.h"

#include <omp.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>

#include "base/check.h"
#include "base/cores.h"

namespace gptmoe {
namespace {

constexpr int kMostThreads = 1024;      // or as many as there are cores
constexpr rlim_t kLeastStackKib = 256;  // the program has been seen to crash at 32 and to run at 64
constexpr rlim_t kUsualStackKib = 8192;

}  // namespace

void require_possible_thread_count() {
  const char* told = std::getenv("OMP_NUM_THREADS");
  const int threads = omp_get_max_threads(), most = std::max(kMostThreads, usable_cores());
  if (told && (threads < 1 || threads > most)) user_error("OMP_NUM_THREADS: give 1 to ", most, " threads, not ", told);
}

void require_stack() {
  rlimit limit{};
  if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  if (const rlim_t kib = limit.rlim_cur / 1024; kib < kLeastStackKib)
    user_error("the stack is limited to ", kib, " KiB, and the program needs ", kLeastStackKib,
               "; raise the limit: ulimit -s ", kUsualStackKib);
}

}  // namespace gptmoe
