#pragma once
#include <algorithm>
#include <chrono>
#include <thread>

#include "base/stop_signal.h"

namespace gptmoe {

// Waits until a stop signal comes or the time is up. Returns whether a signal came.
inline bool wait_for_stop(const StopSignal& stop, std::chrono::milliseconds time) {
  constexpr std::chrono::milliseconds kLook{100};
  for (; !stop.requested() && time.count() > 0; time -= kLook) std::this_thread::sleep_for(std::min(time, kLook));
  return stop.requested();
}

}  // namespace gptmoe
