#pragma once
#include <sys/resource.h>

namespace gptmoe {

// Lowers the soft limit on the number of open files, for this process and for processes that it starts. Files that are
// open stay open. The limit holds for root too.
class OpenFileLimit {
 public:
  explicit OpenFileLimit(rlim_t files) {
    getrlimit(RLIMIT_NOFILE, &old_);
    const rlimit lower{files, old_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &lower);
  }
  ~OpenFileLimit() { setrlimit(RLIMIT_NOFILE, &old_); }
  OpenFileLimit(const OpenFileLimit&) = delete;
  OpenFileLimit& operator=(const OpenFileLimit&) = delete;

  rlim_t hard() const { return old_.rlim_max; }

 private:
  rlimit old_{};
};

}  // namespace gptmoe
