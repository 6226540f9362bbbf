#include "base/stop_signal.h"

#include <gtest/gtest.h>

#include <csignal>

namespace gptmoe {
namespace {

// The process's current handler for `signal`.
void (*action_of(int signal))(int) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action.sa_handler;
}

TEST(StopSignal, CatchesTheFirstAndLeavesTheNextToTheSystem) {
  std::signal(SIGINT, SIG_DFL);  // a shell's background jobs ignore it
  for (int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) {
    const StopSignal stop;
    EXPECT_FALSE(stop.requested());
    EXPECT_EQ(stop.signal(), 0);
    raise(signal);
    EXPECT_TRUE(stop.requested());
    EXPECT_EQ(stop.signal(), signal);
    for (int next : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) EXPECT_EQ(action_of(next), SIG_DFL);
  }
}

TEST(StopSignal, RespectsNohup) {
  std::signal(SIGHUP, SIG_IGN);
  {
    const StopSignal stop;
    raise(SIGHUP);
    EXPECT_FALSE(stop.requested());
  }
  EXPECT_EQ(action_of(SIGHUP), SIG_IGN);
  std::signal(SIGHUP, SIG_DFL);
}

TEST(StopSignal, RestoresTheHandlers) {
  const auto ours = [](int) {};
  std::signal(SIGINT, ours);
  { const StopSignal stop; }
  EXPECT_EQ(action_of(SIGINT), static_cast<void (*)(int)>(ours));
  {
    const StopSignal stop;
    raise(SIGINT);
  }
  EXPECT_EQ(action_of(SIGINT), static_cast<void (*)(int)>(ours));
  std::signal(SIGINT, SIG_DFL);
}

}  // namespace
}  // namespace gptmoe
