#include "distributed/world.h"

#include <cstdlib>

#include "base/check.h"
#include "base/progress.h"
#include "distributed/launch.h"
#include "distributed/launcher.h"
#ifdef GPTMOE_MPI
#include "distributed/mpi/mpi_world.h"
#endif

namespace gptmoe {

bool launched_with_ranks() { return find_launcher().several(); }

std::unique_ptr<World> join_world() {
  const Launcher launcher = find_launcher();
  if (!launcher.several()) return make_single_world();
#ifdef GPTMOE_MPI
  // A rank's stdout may look like a terminal even if mpirun's goes to a file. Only `gptmoe train --ranks` knows where
  // mpirun's stdout goes, so it sets this variable for rank 0, the only rank that prints. In all other cases the
  // variable is 0.
  setenv(kTerminalColumns, "0", launcher.rank != 0);
  tell_launching_process(launcher.rank);
  return make_mpi_world(launcher.ranks, launcher.name);
#else
  user_error(launcher.name, " started ", launcher.ranks, " processes, but ", kNoMpi);
#endif
}

}  // namespace gptmoe
