#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>

namespace gptmoe {

// What a rank's main thread is seen doing by its watchdog.
struct Activity {
  std::atomic<uint64_t> ticks = 0;
  std::atomic<const char*> waiting = nullptr;  // what for other ranks in

  std::mutex probing;
  std::function<void()> probe;  // to be called by the watchdog, under the mutex
};

// The thread waits for other ranks while this lives. The end of the wait is a tick, counted before `waiting` is
// cleared, so a watchdog that reads `waiting` first and `ticks` second never takes a rank that has just waited for one
// that hangs.
class WaitingIn {
 public:
  WaitingIn(Activity& activity, const char* what) : activity_(activity), before_(activity.waiting.exchange(what)) {}
  ~WaitingIn() {
    ++activity_.ticks;
    activity_.waiting = before_;
  }
  WaitingIn(const WaitingIn&) = delete;
  WaitingIn& operator=(const WaitingIn&) = delete;

 private:
  Activity& activity_;
  const char* before_;
};

}  // namespace gptmoe
