#pragma once
#include <memory>
#include <string>

#include "distributed/world.h"

namespace gptmoe {

// Starts MPI on the `ranks` processes that `launcher` started. The World's destructor finalises MPI, except during an
// exception: then the other ranks may be at any point of the program, and only abort() works. Throws UserError if MPI
// finds a different number of ranks, because the launcher then belongs to a different MPI.
std::unique_ptr<World> make_mpi_world(int ranks, const std::string& launcher);

}  // namespace gptmoe
