#pragma once

namespace gptmoe {

// While an object exists, the first SIGINT, SIGTERM, SIGHUP or SIGUSR1 is noted instead of ending the process; a second
// one ends it immediately. Only one object may exist at a time.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  bool requested() const { return signal() != 0; }
  // The noted signal; 0 if none.
  int signal() const;
};

}  // namespace gptmoe
