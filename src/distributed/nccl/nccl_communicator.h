#pragma once
#include <memory>
#include <string>

#include "distributed/communicator.h"
#include "distributed/world.h"
#include "kernels/ops.h"

namespace gptmoe {

// Collectives between GPUs by NCCL, on a stream beside that of `ops`, CudaKernels on the current device, which no other
// rank may use. Collective over `world`. `ops` outlives the communicator, the communicator the graphs that it is part
// of:
//
// Collectives may be asked for by recurring work (Ops::make_repeated_work) and are recorded with it. What one run of
// that work starts, it waits for itself, and nothing that was started before.
//
// costs() counts what is asked for; what a graph does again is not.
//
// Throws Failure where NCCL is not found, and DeviceError, as its methods do, where it fails.
std::unique_ptr<Communicator> make_nccl_communicator(World& world, Ops& ops);
// Why this program cannot make one, in one line with the remedy; empty where it was built with NCCL.
std::string why_no_nccl();

}  // namespace gptmoe
