// Starts jobs of several ranks as gptmoe --ranks does. The program they run is in tests/distributed/ranks.
#ifdef GPTMOE_MPI
#include <signal.h>

#include <fstream>

#include "support/process.h"
#include "support/temporary_folder.h"
#include "support/test_folders.h"

namespace gptmoe::testing {
namespace {

class Ranks : public ::testing::Test {
 protected:
  // LeakSanitizer would report memory that the MPI libraries never free.
  static void SetUpTestSuite() { setenv("ASAN_OPTIONS", "detect_leaks=0", 1); }

  static std::vector<std::string> command(int ranks, const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {build_folder() + "/distributed_ranks", "--ranks", std::to_string(ranks)};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return all;
  }
  ProcessResult run_fault(const std::string& fault, int ranks = 3) {
    return run(folder_.path(), command(ranks, {"--fault", fault}));
  }
  // The single line that the job prints as it ends, without the leading "gptmoe: ".
  std::string line_of(const std::string& fault, int exit_code, int ranks = 3) {
    const ProcessResult result = run_fault(fault, ranks);
    EXPECT_EQ(result.exit_code, exit_code) << result.signal;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_TRUE(result.err.starts_with("gptmoe: ")) << result.err;
    return result.err.substr(std::min<size_t>(8, result.err.size()));
  }
  void expect_peace(const std::string& name) {
    const ProcessResult result = run_fault(name);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.err, "");
  }
  // Starts the job and waits until it has printed `line`.
  std::unique_ptr<Process> start(const std::string& fault, const std::string& line) {
    std::filesystem::remove(folder_ / "stdout");
    auto process = std::make_unique<Process>(folder_.path(), command(2, {"--fault", fault}));
    process->wait_until([&] {
      std::ifstream out(folder_ / "stdout");
      return std::string(std::istreambuf_iterator<char>(out), {}).find(line) != std::string::npos;
    });
    return process;
  }
  void pass_all(int ranks, int threads) {
    const ProcessResult result = run(folder_.path(), command(ranks, {"--gtest_brief=1"}), {.threads = threads});
    EXPECT_EQ(result.exit_code, 0) << result.signal << result.out << result.err;
  }

  TemporaryFolder folder_;
};

TEST_F(Ranks, One) { pass_all(1, 2); }
TEST_F(Ranks, Two) { pass_all(2, 2); }
TEST_F(Ranks, Three) { pass_all(3, 1); }
TEST_F(Ranks, Four) { pass_all(4, 1); }

std::string named(int rank) {
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return "rank " + std::to_string(rank) + " (" + host + ")";
}

TEST_F(Ranks, ARankThatThrowsEndsTheOthers) {
  EXPECT_EQ(line_of("throw", 1), named(2) + ": no space left\n");
  EXPECT_EQ(line_of("throw_everywhere", 1), named(0) + ": the loss is not finite\n");
  EXPECT_EQ(line_of("throw_after_agreement", 2), named(2) + ": shard.bin: no such file\n");
}

TEST_F(Ranks, AKilledRankIsNamed) {
  EXPECT_EQ(line_of("kill", 128 + SIGKILL),
            "rank 2 was ended by signal 9 (Killed), by hand or by the system when memory ran out\n");
}

// The signal arrives as the rank starts, before it handles signals.
TEST_F(Ranks, ARankThatASignalEndsIsNamed) {
  EXPECT_EQ(line_of("terminate", 128 + SIGTERM), "rank 2 was ended by signal 15 (Terminated)\n");
}

TEST_F(Ranks, ASuspendedRankIsNamed) {
  const std::string line = line_of("stop", 1);
  EXPECT_TRUE(line.starts_with(named(2) + " has not been heard from for 1 s")) << line;
}

TEST_F(Ranks, AHangingRankIsNamed) {
  const std::string line = line_of("hang", 1);
  EXPECT_TRUE(line.starts_with(named(2) + " has made no progress for 1 s and is not waiting for another rank")) << line;
}

TEST_F(Ranks, AFailingProbeIsReported) { EXPECT_EQ(line_of("probe", 1), named(1) + ": the network is unreachable\n"); }

TEST_F(Ranks, ADeadlockIsReported) {
  const std::string line = line_of("deadlock", 1, 2);
  EXPECT_TRUE(line.starts_with("no rank has made progress for ")) << line;
  EXPECT_TRUE(line.find("waits for the others in receive_at_root") != std::string::npos ||
              line.find("waits for the others in barrier") != std::string::npos)
      << line;
}

TEST_F(Ranks, MayFinishAtDifferentTimes) { expect_peace("uneven_ends"); }
TEST_F(Ranks, MayWaitForARankThatMakesProgress) { expect_peace("slow_root"); }
TEST_F(Ranks, MayBeSuspendedForAWhile) { expect_peace("long_stop"); }

TEST_F(Ranks, SaveWhenTheyAreAskedToStop) {
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const auto process = start("train", "training");
    process->kill(signal);
    const ProcessResult result = process->wait();
    EXPECT_EQ(result.exit_code, 0) << result.signal;
    EXPECT_EQ(result.out, "training\nsaved\n");
    EXPECT_EQ(result.err, "");
  }
}

TEST_F(Ranks, EndWithTheCodeOfASignalThatTheyDoNotHandle) {
  const auto process = start("start_up", "starting");
  process->kill(SIGINT);
  const ProcessResult result = process->wait();
  EXPECT_EQ(result.exit_code, 128 + SIGINT) << result.signal;
  EXPECT_EQ(result.err, "");
}

TEST_F(Ranks, AreEndedByASecondSignal) {
  const auto process = start("deaf", "deaf");
  process->kill(SIGINT);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  process->kill(SIGTERM);
  const ProcessResult result = process->wait();
  EXPECT_EQ(result.signal, SIGTERM) << result.exit_code;
  EXPECT_EQ(result.err, "");
}

TEST_F(Ranks, DoNotOutliveTheProcessThatLaunchedThem) {
  const auto process = start("start_up", "starting ");
  std::ifstream out(folder_ / "stdout");
  std::string word;
  pid_t rank = 0;
  out >> word >> rank;
  ASSERT_EQ(::kill(rank, 0), 0);
  process->kill(SIGKILL);
  process->wait();
  while (::kill(rank, 0) == 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));  // the test driver's timeout limits this loop
}

}  // namespace
}  // namespace gptmoe::testing
#endif
