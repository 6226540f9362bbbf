#pragma once
#include <chrono>

namespace gptmoe {

// Now, in seconds since 1970-01-01 00:00 UTC, to the millisecond.
inline double unix_time() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<std::chrono::milliseconds>(since).count()) / 1000;
}

}  // namespace gptmoe
