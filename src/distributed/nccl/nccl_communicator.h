#pragma once
#include <memory>
#include <string>

#include "distributed/communicator.h"
#include "distributed/world.h"
#include "kernels/ops.h"

namespace gptmoe {

// Makes a communicator whose collectives run between GPUs with NCCL, on a separate stream beside that of `ops`. The
// kernels of `ops` must be CudaKernels on the current device, which no other rank may use. Call it on all ranks of
// `world`. `ops` must outlive the communicator.
//
// RepeatedWork (Ops::make_repeated_work()) may start collectives, which are recorded with it. Then the communicator
// must outlive the RepeatedWork, and each run must wait for exactly the collectives that it starts.
//
// costs() counts calls; replays of a graph are not counted.
//
// Throws Failure if NCCL is not found. If NCCL fails, this function and the communicator's methods throw DeviceError.
std::unique_ptr<Communicator> make_nccl_communicator(World& world, Ops& ops);
// Why this program cannot make such a communicator, in one line with the remedy; empty if it was built with NCCL.
std::string why_no_nccl();

}  // namespace gptmoe
