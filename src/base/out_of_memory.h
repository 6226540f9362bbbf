#pragma once
// An allocation that fails, in any thread and at any moment, ends the program with one line and exit code 1. main()
// catches std::bad_alloc where it can. It cannot catch what fails before main(), in another thread or in a noexcept
// function: there std::terminate() prints the line and ends the program. Linking OutOfMemory::what() sets that up.
#include <exception>

namespace gptmoe {

// What the programs say when operator new failed. Unlike a Failure, it needs no memory itself.
struct OutOfMemory : std::exception {
  const char* what() const noexcept override;
};

}  // namespace gptmoe
