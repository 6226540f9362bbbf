#pragma once
// The launcher that started this process, read from its environment, so that a run on one rank never touches MPI.
#include <string>

namespace gptmoe {

struct Launcher {
  std::string name;  // empty: not started by a launcher of several ranks
  int ranks = 1;
  int rank = 0;
  bool several() const { return ranks > 1; }
};

// Detected by the first of these variables that is set:
//   OMPI_COMM_WORLD_SIZE   Open MPI's mpirun
//   PMI_SIZE               Hydra's mpirun (MPICH, Intel MPI), Flux, PALS, and srun --mpi=pmi2
//   MV2_COMM_WORLD_SIZE    MVAPICH's mpirun_rsh
//   SLURM_STEP_NUM_TASKS   srun --mpi=pmix
// SLURM's other counts (SLURM_NTASKS) are also set in batch scripts and in salloc's shells, where a program that is
// simply typed is one process; so is SLURM_STEP_NUM_TASKS in steps that SLURM made for such a script or shell, whose
// SLURM_STEP_ID is one of its reserved numbers.
Launcher find_launcher();

}  // namespace gptmoe
