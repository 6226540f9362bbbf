#pragma once
#include <memory>
#include <string>

#include "distributed/world.h"

namespace gptmoe {

// Starts MPI, of which `launcher` started `ranks` processes; MPI ends with the World, unless an exception takes that
// down: then the other ranks may be anywhere, and only abort() is left. Throws UserError where MPI finds another number
// of ranks: the launcher is not this MPI's.
std::unique_ptr<World> make_mpi_world(int ranks, const std::string& launcher);

}  // namespace gptmoe
