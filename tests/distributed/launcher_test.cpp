#include "distributed/launcher.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "distributed/world.h"

namespace gptmoe {
namespace {

// Sets a launcher's environment variables while this object exists.
class Environment {
 public:
  explicit Environment(std::map<std::string, std::string> variables) : variables_(std::move(variables)) {
    for (const auto& [name, value] : variables_) setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const auto& [name, value] : variables_) unsetenv(name.c_str());
  }

 private:
  std::map<std::string, std::string> variables_;
};

void expect_launcher(const std::map<std::string, std::string>& variables, const std::string& name, int ranks,
                     int rank) {
  const Environment environment(variables);
  const Launcher launcher = find_launcher();
  EXPECT_EQ(launcher.name, name);
  EXPECT_EQ(launcher.ranks, ranks);
  EXPECT_EQ(launcher.rank, rank);
  EXPECT_EQ(launched_with_ranks(), ranks > 1);
}

TEST(Launcher, None) {
  expect_launcher({}, "", 1, 0);
  EXPECT_EQ(join_world()->size(), 1);
}

TEST(Launcher, OneRankCountsAsNone) {
  expect_launcher({{"OMPI_COMM_WORLD_SIZE", "1"}, {"OMPI_COMM_WORLD_RANK", "0"}}, "", 1, 0);
  const Environment environment({{"PMI_SIZE", "1"}, {"PMI_RANK", "0"}});
  EXPECT_EQ(join_world()->size(), 1);
}

TEST(Launcher, Mpirun) {
  expect_launcher({{"OMPI_COMM_WORLD_SIZE", "4"}, {"OMPI_COMM_WORLD_RANK", "3"}}, "mpirun", 4, 3);
  expect_launcher({{"PMI_SIZE", "2"}, {"PMI_RANK", "1"}}, "the launcher", 2, 1);
  expect_launcher({{"MV2_COMM_WORLD_SIZE", "2"}, {"MV2_COMM_WORLD_RANK", "1"}}, "mpirun_rsh", 2, 1);
}

TEST(Launcher, Srun) {
  const std::map<std::string, std::string> job = {{"SLURM_JOB_ID", "77"}, {"SLURM_NTASKS", "8"}, {"SLURM_PROCID", "5"}};
  const auto step = [&](const std::string& id, const std::string& tasks) {
    std::map<std::string, std::string> variables = job;
    variables.insert({{"SLURM_STEP_ID", id}, {"SLURM_STEP_NUM_TASKS", tasks}});
    return variables;
  };
  expect_launcher(step("0", "8"), "srun", 8, 5);
  expect_launcher(step("12", "2"), "srun", 2, 5);
  expect_launcher(step("0", "1"), "", 1, 0);
  expect_launcher(job, "", 1, 0);                      // a batch script or a shell of salloc
  expect_launcher(step("4294967290", "8"), "", 1, 0);  // a shell of salloc that runs as an interactive step
  expect_launcher(step("4294967291", "8"), "", 1, 0);  // a batch script that runs as a step
}

// mpirun uses srun to start one daemon on every other machine; srun's variables count these daemons, not the ranks.
TEST(Launcher, OfTwoLaunchersTheInnerOneCounts) {
  expect_launcher({{"OMPI_COMM_WORLD_SIZE", "16"},
                   {"OMPI_COMM_WORLD_RANK", "9"},
                   {"SLURM_STEP_ID", "0"},
                   {"SLURM_STEP_NUM_TASKS", "2"},
                   {"SLURM_PROCID", "1"}},
                  "mpirun", 16, 9);
  expect_launcher({{"OMPI_COMM_WORLD_SIZE", "1"}, {"SLURM_STEP_ID", "0"}, {"SLURM_STEP_NUM_TASKS", "2"}}, "", 1, 0);
}

}  // namespace
}  // namespace gptmoe
