#include "cli/follow_runs.h"

#include "base/check.h"
#include "base/progress.h"
#include "cli/wait.h"

namespace gptmoe {

int follow_runs(const std::function<int64_t()>& training, const std::function<void()>& write, const FollowTimes& times,
                const StopSignal& stop) {
  using Clock = std::chrono::steady_clock;
  ProgressLine line;
  Clock::time_point idle_since = Clock::now();
  int idle_looks = 0;
  for (bool written = false; idle_looks < times.idle_looks || Clock::now() - idle_since < times.idle;) {
    int64_t runs = 0;
    ++idle_looks;
    try {
      runs = training();
      if (runs > 0) idle_looks = 0, idle_since = Clock::now();
      write();
      written = true;
      line.show(text("report written; ", plural(runs, "run"), runs == 1 ? " trains" : " train"));
    } catch (const UserError& error) {
      if (!written && runs == 0) throw;
      line.show(error.what());
    }
    if (wait_for_stop(stop, times.between_looks)) return stop.signal();
  }
  return 0;
}

}  // namespace gptmoe
