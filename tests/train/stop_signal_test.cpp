#include "train/stop_signal.h"

#include <gtest/gtest.h>

#include <csignal>

namespace gptmoe {
namespace {

// What the process does on `signal`.
void (*action_of(int signal))(int) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action.sa_handler;
}

TEST(StopSignal, NotesTheFirstAndLeavesTheNextToTheSystem) {
  for (int signal : {SIGINT, SIGTERM}) {
    const StopSignal stop;
    EXPECT_FALSE(stop.requested());
    raise(signal);
    EXPECT_TRUE(stop.requested());
    EXPECT_EQ(action_of(SIGINT), SIG_DFL);
    EXPECT_EQ(action_of(SIGTERM), SIG_DFL);
  }
}

TEST(StopSignal, LeavesThingsAsTheyWere) {
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
