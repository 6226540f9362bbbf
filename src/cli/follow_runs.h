#pragma once
#include <chrono>
#include <cstdint>
#include <functional>

#include "base/stop_signal.h"

namespace gptmoe {

struct FollowTimes {
  std::chrono::milliseconds between_looks;
  // Between one run of gptmoe compare and the next, no run trains for some seconds. So the runs count as ended only if
  // several checks, over a longer time, have found none in training.
  int idle_looks = 3;
  std::chrono::milliseconds idle = std::chrono::seconds(20);
};

// training() returns the number of runs in training. Calls write() repeatedly while that number is above zero, and for
// a while after that. Passes on a UserError of either function if nothing has been written yet and no run trains. At
// other times, only shows the error on a terminal, since runs may start or be removed at any moment. Returns the signal
// that ended the loop, or 0.
int follow_runs(const std::function<int64_t()>& training, const std::function<void()>& write, const FollowTimes& times,
                const StopSignal& stop);

}  // namespace gptmoe
