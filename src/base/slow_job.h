#pragma once
#include <cstdint>
#include <string>
#include <utility>

#include "base/progress.h"

namespace gptmoe {

// Shows the progress of a job that is usually too short for it: the line appears only after `quiet_seconds`.
class SlowJob {
 public:
  // `what` names the job in a few words; `total` is the number of its parts.
  SlowJob(std::string what, int64_t total, double quiet_seconds = 1)
      : what_(std::move(what)), total_(total), quiet_seconds_(quiet_seconds) {}

  // Counts one more part as done and shows "WHAT  41 %, 3:05 left".
  void advance() {
    ++done_;
    if (line_.live() && clock_.seconds() >= quiet_seconds_) line_.show(what_ + "  " + clock_.state(done_, total_));
  }

 private:
  std::string what_;
  int64_t total_, done_ = 0;
  double quiet_seconds_;
  JobClock clock_;
  ProgressLine line_;
};

}  // namespace gptmoe
