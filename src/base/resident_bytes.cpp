#include "base/resident_bytes.h"

#include <unistd.h>

#include <fstream>

namespace gptmoe {

int64_t resident_bytes() {
  std::ifstream in("/proc/self/statm");  // in pages: all memory, resident memory, ...
  int64_t all = 0, resident = 0;
  return in >> all >> resident ? resident * sysconf(_SC_PAGESIZE) : -1;
}

}  // namespace gptmoe
