#pragma once
// gptmoe train --ranks N: the program as N ranks on this machine, under a local mpirun.

namespace gptmoe {

constexpr const char* kNoMpi =
    "this build of gptmoe has no MPI; install one (Debian, Ubuntu: libopenmpi-dev openmpi-bin), configure and build "
    "again";

// Runs argv, this program's own, as `ranks` ranks and returns their exit code. The first SIGINT, SIGTERM or SIGHUP
// tells the ranks to stop (as SIGUSR1, which mpirun passes on), a second one ends them, and if they end by it, so does
// this process. mpirun's own reports are switched off; if a rank ends without a message, its cause is printed here.
// Throws UserError if there is no mpirun or the build has no MPI.
int launch_ranks(int ranks, char** argv);

// Whether this process is a rank that launch_ranks() started.
bool started_by_launch();

// On such a rank: shows the launching process that this rank lives, as long as it does. Elsewhere: does nothing.
void tell_launching_process(int rank);

}  // namespace gptmoe
