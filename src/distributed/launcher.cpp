#include "distributed/launcher.h"

#include <cstdlib>

namespace gptmoe {
namespace {

// SLURM numbers its own steps (batch, extern, interactive, pending) from this number on.
constexpr unsigned long kReservedSteps = 0xfffffff0ul;

struct Variables {
  const char *launcher, *size, *rank;
};
constexpr Variables kLaunchers[] = {{"mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                    {"the launcher", "PMI_SIZE", "PMI_RANK"},
                                    {"mpirun_rsh", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"},
                                    {"srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"}};

int number(const char* variable) {
  const char* value = std::getenv(variable);
  return value ? std::atoi(value) : 0;
}

bool in_srun() {
  const char* step = std::getenv("SLURM_STEP_ID");
  return step && std::strtoul(step, nullptr, 10) < kReservedSteps;
}

}  // namespace

Launcher find_launcher() {
  for (const Variables& names : kLaunchers) {
    if (!std::getenv(names.size) || (names.launcher == std::string("srun") && !in_srun())) continue;
    const int ranks = number(names.size);
    if (ranks <= 1) return {};
    return {names.launcher, ranks, number(names.rank)};
  }
  return {};
}

}  // namespace gptmoe
