#include "base/process_limits.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>

#include "base/check.h"
#include "base/cores.h"

namespace gptmoe {
namespace {

constexpr int kMostThreads = 1024;      // or usable_cores(), if that is more
constexpr rlim_t kLeastStackKib = 256;  // the program has been seen to crash at 32 and to run at 64
constexpr rlim_t kUsualStackKib = 8192;

}  // namespace

void require_possible_thread_count() {
  const char* given = std::getenv("OMP_NUM_THREADS");
  if (!given) return;
  const int most = std::max(kMostThreads, usable_cores());
  char* end = nullptr;
  const long threads = std::strtol(given, &end, 10);  // LONG_MAX if too large; OpenMP's functions may fail here
  if (end != given && (threads < 1 || threads > most))
    user_error("OMP_NUM_THREADS: give 1 to ", most, " threads, not ", given);
}

void require_stack() {
  rlimit limit{};
  if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  if (const rlim_t kib = limit.rlim_cur / 1024; kib < kLeastStackKib)
    user_error("the stack is limited to ", kib, " KiB, and the program needs ", kLeastStackKib,
               "; raise the limit: ulimit -s ", kUsualStackKib);
}

}  // namespace gptmoe
