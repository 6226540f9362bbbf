#include "base/child_process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <cerrno>

namespace gptmoe {
namespace {

using End = ChildResult::End;
constexpr std::chrono::seconds kLong(60);

ChildResult shell(const std::string& script, std::chrono::milliseconds limit = kLong) {
  return run_child("/bin/sh", {"-c", script}, limit);
}

TEST(ChildProcess, ItsOutputAndExitCodeAreReturned) {
  const ChildResult result = shell("echo one; echo two >&2; exit 3");
  EXPECT_EQ(result.end, End::exited);
  EXPECT_EQ(result.number, 3);
  EXPECT_EQ(result.output, "one\ntwo\n");
}

TEST(ChildProcess, HasNoInputAndAGroupOfItsOwn) {
  EXPECT_EQ(shell("cat").output, "");
  const ChildResult result = shell("read -r pid comm state parent group rest < /proc/self/stat; echo $(($$ == group))");
  EXPECT_EQ(result.output, "1\n");
}

TEST(ChildProcess, ASignalThatEndsItIsReturned) {
  const ChildResult result = shell("kill -SEGV $$");
  EXPECT_EQ(result.end, End::signalled);
  EXPECT_EQ(result.number, SIGSEGV);
}

// Also if it closes its output before it hangs, and if it ignores what it can.
TEST(ChildProcess, IsKilledAtTheLimit) {
  for (const char* hang : {"trap '' TERM; echo $$; exec sleep 600", "echo $$; exec >/dev/null 2>&1; exec sleep 600"}) {
    const auto start = std::chrono::steady_clock::now();
    const ChildResult result = shell(hang, std::chrono::milliseconds(300));
    EXPECT_EQ(result.end, End::late);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(100));
    EXPECT_EQ(kill(std::stoi(result.output), 0), -1) << "it still runs";
  }
}

TEST(ChildProcess, ThatCannotBeStartedSaysWhy) {
  const ChildResult result = run_child("/no/such/program", {}, kLong);
  EXPECT_EQ(result.end, End::not_started);
  EXPECT_EQ(result.number, ENOENT);
}

TEST(ChildProcess, OfMuchOutputOnlyTheBeginningIsKept) {
  const ChildResult result =
      shell("i=0; while [ $i -lt 3000 ]; do echo 'line of some thirty characters'; i=$((i+1)); done");
  EXPECT_EQ(result.end, End::exited);
  EXPECT_EQ(result.output.size(), size_t{1} << 16);
}

}  // namespace
}  // namespace gptmoe
