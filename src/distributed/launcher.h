#pragma once
// Finds the launcher of this process in the environment, so that a run on one rank never touches MPI.
#include <string>

namespace gptmoe {

struct Launcher {
  std::string name;  // empty if no launcher of several ranks started this process
  int ranks = 1;
  int rank = 0;
  bool several() const { return ranks > 1; }
};

// The launcher is detected by the first of these variables that is set:
//   OMPI_COMM_WORLD_SIZE   Open MPI's mpirun
//   PMI_SIZE               Hydra's mpirun (MPICH, Intel MPI), Flux, PALS, and srun --mpi=pmi2
//   MV2_COMM_WORLD_SIZE    MVAPICH's mpirun_rsh
//   SLURM_STEP_NUM_TASKS   srun --mpi=pmix
// SLURM's other counts (SLURM_NTASKS) are not used. They are also set in batch scripts and in salloc's shells, although
// a program that is started there directly is a single process. SLURM_STEP_NUM_TASKS is also set in the step that SLURM
// makes for such a script or shell, but the SLURM_STEP_ID of that step is a reserved number.
Launcher find_launcher();

}  // namespace gptmoe
