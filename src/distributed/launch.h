#pragma once
// gptmoe train --ranks N: the program as N ranks on this machine, under a local mpirun.

namespace gptmoe {

constexpr const char* kNoMpi =
    "this build of gptmoe has no MPI; install one (Debian, Ubuntu: libopenmpi-dev openmpi-bin), configure and build "
    "again";

// Runs argv, this program's own, as `ranks` ranks and returns their exit code. A first SIGINT, SIGTERM or SIGHUP asks
// them to stop (as SIGUSR1, which mpirun passes on), a second one ends them; where they end by it, so does this
// process. mpirun's own reports are switched off; what ended a rank that could not say so itself is printed here.
// Throws UserError where there is no mpirun or the build has no MPI.
int launch_ranks(int ranks, char** argv);

// Whether this process is a rank that launch_ranks() started.
bool started_by_launch();

// Of such a rank: lets the process that launched it see that it lives, for as long as it does. Else nothing.
void tell_launching_process(int rank);

}  // namespace gptmoe
