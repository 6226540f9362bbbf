#include "base/openmp_wait.h"

#include <unistd.h>

#include <cstdlib>

namespace gptmoe {
namespace {

constexpr const char* kSpinCount = "1000";  // about 30 microseconds

}  // namespace

void limit_openmp_spinning(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  if (setenv("GOMP_SPINCOUNT", kSpinCount, 1) != 0) return;
  execv("/proc/self/exe", argv);
  // If the restart fails, the program continues unchanged.
}

}  // namespace gptmoe
