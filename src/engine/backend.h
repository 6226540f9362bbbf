#pragma once
#include <memory>
#include <optional>

#include "config/config.h"
#include "distributed/world.h"
#include "kernels/ops.h"

namespace gptmoe {

// Gives each rank its own GPU, unless the config sets the CPU. Call it before the other functions here, which would
// initialise the first GPU. Collective. Throws UserError, on every rank, if ranks outnumber GPUs, if two ranks use the
// same GPU, if only some ranks have a GPU, or if several ranks have GPUs and this build lacks NCCL.
void assign_devices(const Config& config, World& world);

// The Ops for the config's "device" and "precision". With "auto", they use a GPU in bf16 if there is one. Throws
// UserError if this build or machine lacks the device, or if the device does not support the precision or the run's
// sizes. On a GPU they run Hopper's kernels if `hopper` is true, whatever the config says: HopperChoice::used
// (engine/hopper_choice.h).
std::unique_ptr<Ops> make_backend(const Config& config, bool hopper = false);

// The compute_dtype() of the Ops that make_backend() makes on a GPU; none if it makes them on the CPU. Throws as
// make_backend() does.
std::optional<DType> cuda_precision(const Config& config);

// Makes the communicator for the tensors of these Ops, on the devices that assign_devices() chose: MPI for the host's
// memory, NCCL for GPUs. Collective; world and ops must outlive it.
std::unique_ptr<Communicator> make_communicator(World& world, Ops& ops);

// Why this build or machine lacks the device that the config names; empty if the device is available.
std::string why_no_device(const Config& config);

// Ops for planning, which lay out memory as make_backend()'s do, even for a device that this machine does not have.
Ops plan_backend(const Config& config);

}  // namespace gptmoe
