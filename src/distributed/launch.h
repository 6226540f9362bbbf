#pragma once
// gptmoe train --ranks N: runs the program as N ranks on this machine, under a local mpirun.

namespace gptmoe {

constexpr const char* kNoMpi =
    "this build of gptmoe has no MPI; install one (Debian, Ubuntu: libopenmpi-dev openmpi-bin), configure and build "
    "again";

// Runs this program as `ranks` ranks, with its own argv, and returns their exit code. The first SIGINT, SIGTERM or
// SIGHUP asks the ranks to stop: they receive SIGUSR1, which mpirun passes on. A second one ends the ranks, and then
// this process ends by the same signal. mpirun's own reports are switched off. If a rank ends without a message, for
// example because a signal killed it, this process prints the cause. If mpirun is still running `heartbeat_seconds`
// after the last rank ended, this process kills mpirun and prints that. tell_heartbeat() changes that time. Throws
// UserError if there is no mpirun or the build has no MPI.
int launch_ranks(int ranks, double heartbeat_seconds, char** argv);

// Whether this process is a rank that launch_ranks() started.
bool started_by_launch();

// On a rank that launch_ranks() started, opens a connection to the launching process, which lasts until the rank ends.
// In other processes, does nothing.
void tell_launching_process(int rank);
// Tells the launching process, if there is one, the run's distributed.heartbeat_seconds. With 0, that process waits for
// mpirun without a limit.
void tell_heartbeat(double seconds);
// Tells the launching process, if there is one, that this rank stopped because of a signal and has reported it.
void tell_of_stop();

}  // namespace gptmoe
