#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>

namespace gptmoe {

// What the watchdog sees of a rank's main thread.
struct Activity {
  std::atomic<uint64_t> ticks = 0;
  std::atomic<const char*> waiting = nullptr;  // the operation that waits for other ranks; null: none

  std::mutex probing;
  std::function<void()> probe;  // the watchdog calls it under the mutex
};

// Marks the thread as waiting for other ranks while this object lives. The end of the wait counts a tick before
// `waiting` is cleared. So the watchdog, which reads `waiting` first and `ticks` second, never takes a rank that has
// just stopped waiting to be hanging.
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
