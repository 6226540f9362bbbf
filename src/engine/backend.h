#pragma once
#include <memory>

#include "config/config.h"
#include "distributed/world.h"
#include "kernels/ops.h"

namespace gptmoe {

// Gives each rank a GPU of its own, unless the config asks for the CPU: before all else here, which would begin to use
// the first GPU. Collective. Throws UserError, on every rank, where ranks outnumber GPUs or are shown the same, only
// some have one, or this build has nothing to bring several together.
void assign_devices(const Config& config, World& world);

// The Ops that "device" and "precision" ask for: "auto" takes a GPU where there is one, and bf16 on it. Throws
// UserError when this build or machine does not have them, or does not take the run's sizes.
std::unique_ptr<Ops> make_backend(const Config& config);

// What brings tensors of these Ops together, on devices as assign_devices() gave them: MPI in the host's memory, NCCL
// on GPUs. Collective; world and ops must outlive it.
std::unique_ptr<Communicator> make_communicator(World& world, Ops& ops);

// Why this build or machine lacks the device that the config names; empty where make_backend() has one.
std::string why_no_device(const Config& config);

// What lays out memory as make_backend()'s would, also for a device that this machine does not have.
Ops plan_backend(const Config& config);

}  // namespace gptmoe
