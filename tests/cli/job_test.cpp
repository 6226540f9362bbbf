// Commands on several ranks. tests/distributed tests how ranks affect each other.
#include "cli/cli_fixture.h"

namespace gptmoe::testing {
namespace {

class OnRanks : public CommandLine {
 protected:
  void SetUp() override {
    setenv("ASAN_OPTIONS", "detect_leaks=0", 1);  // MPI's libraries leak
    write_config("run.json");
  }

  // Runs gptmoe under mpirun. Returns the exit code and the error lines of gptmoe, without the lines of mpirun.
  std::pair<int, std::string> mpirun(std::vector<std::string> arguments) {
    std::vector<std::string> command = {"/usr/bin/env",
                                        "OMPI_ALLOW_RUN_AS_ROOT=1",
                                        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
                                        "OMPI_MCA_rmaps_base_oversubscribe=1",
                                        "PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe",
                                        "mpirun",
                                        "-n",
                                        "3",
                                        gptmoe_binary()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    const ProcessResult result = run(folder(), command);
    std::istringstream lines(result.err);
    std::string ours;
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("gptmoe: ")) ours += line + "\n";
    return {result.exit_code, ours};
  }
};

#ifdef GPTMOE_MPI

TEST_F(OnRanks, ErrorsArePrintedOnce) {
  const std::string missing = "missing.json: cannot open: No such file or directory";
  EXPECT_EQ(refuse({"train", "missing.json", "--ranks", "2"}, {missing}), "gptmoe: " + missing + "\n");
  EXPECT_EQ(refuse({"compare", "run.json", "missing.json", "--ranks", "2"}, {missing}), "gptmoe: " + missing + "\n");
  EXPECT_EQ(mpirun({"train", "missing.json"}), std::pair(2, "gptmoe: " + missing + "\n"));
  EXPECT_EQ(mpirun({"train", "run.json", "--frobnicate"}),
            std::pair(2, std::string("gptmoe: unexpected argument: --frobnicate; see gptmoe train "
                                     "--help\n")));
}

TEST_F(OnRanks, TheRanksOptionIsRefusedUnderMpirun) {
  EXPECT_EQ(mpirun({"train", "run.json", "--ranks", "2"}),
            std::pair(2, std::string("gptmoe: --ranks 2: mpirun has started 3 ranks already; omit --ranks\n")));
}

TEST_F(OnRanks, CommandsOfOneProcess) {
  for (const std::string command : {"plan", "eval", "generate", "report", "watch"})
    EXPECT_EQ(mpirun({command, "run.json"}),
              std::pair(2, "gptmoe: gptmoe " + command + " runs in one process; start it without mpirun\n"));
}

TEST_F(OnRanks, AMissingMpirunIsNamed) {
  const std::string path = getenv("PATH");
  setenv("PATH", folder().c_str(), 1);
  refuse({"train", "run.json", "--ranks", "2"}, {"--ranks 2: mpirun: No such file or directory; install Open MPI"});
  setenv("PATH", path.c_str(), 1);
}

TEST_F(OnRanks, AnMpirunThatStartsNoRankIsReported) {
  write_text_file(files_ / "mpirun", "#!/bin/sh\nexit 5\n");
  fs::permissions(files_ / "mpirun", fs::perms::owner_all);
  const std::string path = getenv("PATH");
  setenv("PATH", (folder().string() + ":" + path).c_str(), 1);
  fail(gptmoe({"train", "run.json", "--ranks", "2"}), 5, {"mpirun started no rank (exit code 5)"});
  setenv("PATH", path.c_str(), 1);
}

// The launcher of another MPI, or srun without --mpi, starts processes that do not know each other.
TEST_F(OnRanks, TheLauncherOfAnotherMpiIsRefused) {
  setenv("PMI_SIZE", "2", 1);
  setenv("PMI_RANK", "0", 1);
  for (const char* allowed : {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"}) setenv(allowed, "1", 1);
  refuse({"train", "run.json"},
         {"the launcher started 2 processes, but MPI finds 1 rank(s): use the mpirun of the MPI"});
  unsetenv("PMI_SIZE");
  unsetenv("PMI_RANK");
}

#else

TEST_F(OnRanks, RunsNeedABuildWithMpi) {
  refuse({"train", "run.json", "--ranks", "2"}, {"--ranks 2: this build of gptmoe has no MPI", "libopenmpi-dev"});
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  setenv("OMPI_COMM_WORLD_RANK", "0", 1);
  refuse({"train", "run.json"}, {"mpirun started 2 processes, but this build of gptmoe has no MPI", "libopenmpi-dev"});
  unsetenv("OMPI_COMM_WORLD_SIZE");
  unsetenv("OMPI_COMM_WORLD_RANK");
}

#endif

TEST_F(OnRanks, OneRankRunsInThisProcess) {
  const ProcessResult result = succeed({"train", "run.json", "--out", "run", "--ranks", "1"});
  expect_contains(result.out, "done ");
}

TEST_F(OnRanks, BadNumbersOfRanksAreRefused) {
  refuse({"train", "run.json", "--ranks", "0"}, {"--ranks"});
  refuse({"train", "run.json", "--ranks", "two"}, {"--ranks"});
}

}  // namespace
}  // namespace gptmoe::testing
